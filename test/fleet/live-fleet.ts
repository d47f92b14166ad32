import { delay } from '#pooling/testing/delay.js';
import type { DatabasePoolStatistics } from '#pooling/database/database-statistics.js';
import { CountedConnections } from './counted-connections.js';
import { Tally, type LoadReport } from './tally.js';
import { WorkerProcess, type WorkerSettings } from './worker-process.js';

/** What somebody asks for, again and again. */
export interface Asked {
  readonly method: 'GET' | 'POST';
  /** The path of one request. */
  path(): string;
}

/** A query that takes so long, in milliseconds. */
export function work(ms: number): Asked {
  return { method: 'GET', path: () => `/work?ms=${ms}` };
}

/** Real processes to one server, a proxy's choice among them, and somebody who counts connections on the server. */
export class LiveFleet implements AsyncDisposable {
  readonly workers: WorkerProcess[] = [];
  readonly connections = new CountedConnections();
  readonly #settings: WorkerSettings;
  readonly #tallies = new Map<Asked, Tally>();
  #loads: Promise<void>[] = [];
  #loading = true;
  readonly #crashes: string[] = [];

  private constructor(settings: WorkerSettings) {
    this.#settings = settings;
  }

  /** @param serverUrl the server itself, where the workers' URL leads to a pooler or to several hosts */
  static async start(settings: WorkerSettings, processes: number, serverUrl = settings.url): Promise<LiveFleet> {
    const fleet = new LiveFleet(settings);
    try {
      await fleet.connections.on(serverUrl);
      await fleet.add(processes);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Processes that didn't end in order. */
  get crashes(): readonly string[] {
    return this.#crashes;
  }

  /** Starts so many more, and lets them take part once they listen. */
  async add(count: number): Promise<void> {
    const starting = Array.from({ length: count }, () => WorkerProcess.start(this.#settings));
    // What one failed with is told when all are there to be ended.
    const started = await Promise.allSettled(starting);
    for (const each of started) if (each.status === 'fulfilled') this.workers.push(each.value);
    await Promise.all(starting);
  }

  /**
   * Ends a process in order. It is sent requests until its readiness says that it leaves, as a balancer does it, and has to
   * answer all that it was sent.
   */
  async retire(worker: WorkerProcess): Promise<void> {
    await worker.leaves();
    this.#forget(worker);
    const wrong = await worker.ended();
    if (wrong !== undefined) this.#crashes.push(wrong);
  }

  /** Ends a process in the middle of what it does; returns how many requests it had to answer. */
  async kill(worker: WorkerProcess): Promise<number> {
    this.#forget(worker);
    const { pending } = worker;
    await worker.kill();
    return pending;
  }

  #forget(worker: WorkerProcess): void {
    this.workers.splice(this.workers.indexOf(worker), 1);
  }

  /** Replaces every process, so many at a time. */
  async rollingRestart(atOnce: number): Promise<void> {
    const old = [...this.workers];
    while (old.length > 0) {
      const leaving = old.splice(0, atOnce);
      await this.add(leaving.length);
      await Promise.all(leaving.map((worker) => this.retire(worker)));
    }
  }

  /** So many clients that ask one after the other, the process that has least to do or one of them, until {@link stopLoad}. */
  load(clients: number, asked: Asked, to?: WorkerProcess): void {
    for (let client = 0; client < clients; client++) this.#loads.push(this.#ask(asked, to));
  }

  async #ask(asked: Asked, to: WorkerProcess | undefined): Promise<void> {
    while (this.#loading) {
      const worker = to ?? this.#leastBusy();
      const tally = this.tallyOf(asked);
      tally.sent();
      worker.pending++;
      try {
        const { status, body } = await worker.send(asked.method, asked.path());
        if (status < 300) tally.served();
        else tally.failed(body);
      } catch (error) {
        if (worker.killed) tally.lost();
        else tally.failed((error as Error).message);
      } finally {
        worker.pending--;
      }
    }
  }

  /** As a proxy chooses that counts what is under way. */
  #leastBusy(): WorkerProcess {
    return this.workers.reduce((least, worker) => (worker.pending < least.pending ? worker : least));
  }

  /** The requests of one kind since the last account. */
  tallyOf(asked: Asked): Tally {
    let tally = this.#tallies.get(asked);
    if (tally === undefined) this.#tallies.set(asked, (tally = new Tally()));
    return tally;
  }

  /** What became of the requests of one kind that were sent since the last account, once that is known of all of them. */
  async account(asked: Asked): Promise<LoadReport> {
    const tally = this.tallyOf(asked);
    this.#tallies.delete(asked);
    return tally.report();
  }

  /** Ends the load, and waits for the last answers. */
  async stopLoad(): Promise<void> {
    this.#loading = false;
    await Promise.all(this.#loads);
    this.#loads = [];
    this.#loading = true;
  }

  /** What each process says of its pool. */
  async statistics(): Promise<DatabasePoolStatistics[]> {
    return Promise.all(this.workers.map((worker) => worker.statistics()));
  }

  /** Connections of the processes that there are, by what they say: the server may count a dead one's a moment longer. */
  async open(): Promise<number> {
    return (await this.statistics()).reduce((sum, { size }) => sum + size, 0);
  }

  /** Each process's ceiling, and what it has open. */
  async shares(): Promise<string> {
    const all = await this.statistics();
    return all.map(({ size, max, fleet }) => `${fleet?.id ?? '?'} ${size}/${max}`).join(', ');
  }

  /** Waits until all is as it should be; returns how long that took, in milliseconds. */
  async until(what: string, check: () => boolean | Promise<boolean>, withinMs: number): Promise<number> {
    const startedAt = performance.now();
    while (!(await check())) {
      if (performance.now() - startedAt > withinMs)
        throw new Error(`not within ${withinMs} ms: ${what}; ${await this.shares()}`);
      await delay(50);
    }
    return performance.now() - startedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#loading = false;
    await Promise.all([...this.workers].map((worker) => worker.kill()));
    await Promise.all([...this.#loads, this.connections.stop()]);
  }
}
