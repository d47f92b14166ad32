import { Agent, request } from 'node:http';
import { delay } from '#pooling/testing/delay.js';
import type { DatabasePoolStatistics } from '#pooling/database/database-statistics.js';
import { runTypeScript, type Child } from '#test/support/child.js';

/** What every process of a fleet is started with. */
export interface WorkerSettings {
  readonly url: string;
  readonly budget: { readonly connections: number; readonly checkMs: number };
  /** How long a process that leaves goes on to serve, in milliseconds. */
  readonly drainDelayMs: number;
  /** Whether it has a second pool, which reads from standbys. */
  readonly readsStandbys: boolean;
}

/** One process of the fleet, and the sockets to it. */
export class WorkerProcess {
  readonly #child: Child;
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true });
  /** Requests that it has to answer. */
  pending = 0;
  /** Whether it was ended in the middle of what it did. */
  killed = false;

  private constructor(child: Child, port: number) {
    this.#child = child;
    this.#port = port;
  }

  /** Starts one and waits until it listens. */
  static async start(settings: WorkerSettings): Promise<WorkerProcess> {
    const env = { FLEET_WORKER: JSON.stringify(settings) };
    const child = runTypeScript(new URL('./worker.ts', import.meta.url), { env });
    const [, port] = await child.prints(/port (\d+)/);
    return new WorkerProcess(child, Number(port));
  }

  /** Sends a request; whatever goes wrong with it is the caller's to know: nothing is sent twice. */
  send(method: string, path: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.#port, method, path, agent: this.#agent };
      const outgoing = request(options, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', reject);
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  /** What it says of its pool. */
  async statistics(): Promise<DatabasePoolStatistics> {
    return JSON.parse((await this.send('GET', '/statistics')).body) as DatabasePoolStatistics;
  }

  /** Tells it to leave, and waits until its readiness says so: until then it is sent requests. */
  async leaves(): Promise<void> {
    this.#child.process.kill('SIGTERM');
    while ((await this.send('GET', '/health/ready')).status === 200) await delay(20);
  }

  /** Waits for its end; says what is wrong with it. */
  async ended(): Promise<string | undefined> {
    const { code, signal } = await this.#child.ended;
    this.#agent.destroy();
    return code === 0 ? undefined : `a process ended with ${code ?? signal}: ${this.#child.output().slice(-1_000)}`;
  }

  /** Ends it in the middle of what it does. */
  async kill(): Promise<void> {
    this.killed = true;
    this.#child.process.kill('SIGKILL');
    await this.#child.ended;
  }
}
