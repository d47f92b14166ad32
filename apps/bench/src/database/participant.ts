import { Child } from '../race/child.js';
import type { Slice } from '../race/slice.js';
import type { Scenario } from '../settings.js';
import type { CandidateOptions } from './candidate.js';
import type { BenchServer } from './server.js';
import type { SliceOrder } from './worker.js';

/** Counts them, so that the server tells apart two of one name. */
let participants = 0;

/** A candidate in its process. */
export class Participant {
  readonly name: string;
  readonly #child: Child;
  readonly #server: BenchServer;
  readonly #applicationName: string;

  /** @param program the worker of another checkout, when it isn't this one's. */
  constructor(name: string, server: BenchServer, program = new URL('./worker.js', import.meta.url)) {
    this.name = name;
    this.#server = server;
    this.#applicationName = `bench ${participants++} ${name}`.slice(0, 63);
    this.#child = new Child(program, [name]);
  }

  /** @param url another way to the server. */
  open(poolSize: number, url = this.#server.url): Promise<void> {
    const options: CandidateOptions = { url, poolSize, applicationName: this.#applicationName };
    return this.#child.ask('open', this.name, options);
  }

  sample(): Promise<unknown> {
    return this.#child.ask('sample');
  }

  async slice({ workload, concurrency, rate }: Scenario, durationMs: number, seed: number): Promise<Slice> {
    const backends = await this.#server.backendsOf(this.#applicationName);
    // What delays what is sent runs in this process.
    const server = [...this.#server.family(), process.pid];
    const order: SliceOrder = { workload, concurrency, rate, durationMs, seed, backends, server };
    return this.#child.ask('slice', order);
  }

  async close(): Promise<void> {
    await this.#child.ask('close').catch(() => undefined);
    await this.#child.end();
  }

  end(): Promise<void> {
    return this.#child.end();
  }
}
