import { Agent, request } from 'node:http';
import { Client } from 'pg';
import { delay } from '#pooling/testing/delay.js';
import type { DatabasePoolStatistics } from '#pooling/database/database-statistics.js';
import { runTypeScript, type Child } from '#test/support/child.js';

/** One process of the fleet. */
export interface Worker {
  readonly child: Child;
  readonly port: number;
  readonly agent: Agent;
  /** Requests that it has to answer. */
  pending: number;
}

/** What became of the requests. */
export interface LoadReport {
  readonly served: number;
  /** Requests that failed, by what was wrong. */
  readonly failures: Readonly<Record<string, number>>;
}

/** Real processes to one server, a proxy's choice among them, and somebody who counts connections on the server. */
export class LiveFleet implements AsyncDisposable {
  readonly workers: Worker[] = [];
  readonly #settings: { readonly url: string; readonly budget: { connections: number; checkMs: number } };
  readonly #control: Client;
  #watching = true;
  #watch: Promise<void> = Promise.resolve();
  #served = 0;
  readonly #failures: Record<string, number> = {};
  #loads: Promise<void>[] = [];
  #loading = true;
  /** The most connections of the fleet at one time. */
  peak = 0;
  /** Connections of the fleet now. */
  connections = 0;

  private constructor(settings: LiveFleet['settings'], control: Client) {
    this.#settings = settings;
    this.#control = control;
  }

  get settings(): { readonly url: string; readonly budget: { connections: number; checkMs: number } } {
    return this.#settings;
  }

  /** @param controlUrl the server itself, where the workers' URL leads to a pooler */
  static async start(
    url: string,
    budget: { connections: number; checkMs: number },
    processes: number,
    controlUrl = url,
  ): Promise<LiveFleet> {
    const control = new Client({ connectionString: controlUrl, application_name: 'control' });
    await control.connect();
    const fleet = new LiveFleet({ url, budget }, control);
    fleet.#watch = fleet.#watchConnections();
    await fleet.add(processes);
    return fleet;
  }

  /** Starts so many more, and lets them take part once they listen. */
  async add(count: number): Promise<Worker[]> {
    const added = await Promise.all(
      Array.from({ length: count }, async () => {
        const env = { FLEET_WORKER: JSON.stringify(this.#settings) };
        const child = runTypeScript(new URL('./worker.ts', import.meta.url), { env });
        const [, port] = await child.prints(/port (\d+)/);
        return { child, port: Number(port), agent: new Agent({ keepAlive: true }), pending: 0 };
      }),
    );
    this.workers.push(...added);
    return added;
  }

  /** Sends it no more requests, ends it in order, and waits until it is gone. */
  async retire(worker: Worker): Promise<void> {
    this.#forget(worker);
    worker.child.process.kill('SIGTERM');
    const { code } = await worker.child.ended;
    worker.agent.destroy();
    if (code !== 0) this.#failed(`exit ${code}`);
  }

  /** Ends it in the middle of what it does. */
  async kill(worker: Worker): Promise<void> {
    this.#forget(worker);
    worker.child.process.kill('SIGKILL');
    await worker.child.ended;
  }

  #forget(worker: Worker): void {
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
  load(clients: number, options: { readonly ms?: number; readonly to?: Worker } = {}): void {
    for (let client = 0; client < clients; client++) this.#loads.push(this.#ask(options.ms ?? 400, options.to));
  }

  async #ask(ms: number, to: Worker | undefined): Promise<void> {
    while (this.#loading) {
      const worker = to ?? this.#leastBusy();
      worker.pending++;
      try {
        const { status, body } = await get(worker, `/?ms=${ms}`);
        if (status === 200) this.#served++;
        else this.#failed(body);
      } catch (error) {
        // What a process that was killed has begun, another one does, as any proxy in front has it for a GET.
        if (this.workers.includes(worker)) this.#failed((error as Error).message);
      } finally {
        worker.pending--;
      }
    }
  }

  /** As a proxy chooses that counts what is under way. */
  #leastBusy(): Worker {
    return this.workers.reduce((least, worker) => (worker.pending < least.pending ? worker : least));
  }

  #failed(what: string): void {
    this.#failures[what] = (this.#failures[what] ?? 0) + 1;
  }

  /** Ends the load, and says what became of it. */
  async stopLoad(): Promise<LoadReport> {
    this.#loading = false;
    await Promise.all(this.#loads);
    const report = { served: this.#served, failures: { ...this.#failures } };
    this.#loads = [];
    this.#loading = true;
    return report;
  }

  /** What each process says of its pool. */
  async statistics(): Promise<DatabasePoolStatistics[]> {
    return Promise.all(
      this.workers.map(async (worker) => JSON.parse((await get(worker, '/statistics')).body) as DatabasePoolStatistics),
    );
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

  /** Begins to count anew. */
  resetPeak(): void {
    this.peak = 0;
  }

  async #watchConnections(): Promise<void> {
    while (this.#watching) {
      const { rows } = await this.#control.query<{ count: number }>(
        "select count(*)::int as count from pg_stat_activity where application_name like 'fleet#%' and backend_type = 'client backend'",
      );
      this.connections = rows[0]!.count;
      this.peak = Math.max(this.peak, this.connections);
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#loading = false;
    this.#watching = false;
    await Promise.all([...this.workers].map((worker) => this.kill(worker)));
    await Promise.all([...this.#loads, this.#watch]);
    await this.#control.end();
  }
}

function get(worker: Worker, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: worker.port, path, agent: worker.agent }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    // Whoever keeps a socket alive meets servers that close it as the next request goes out, and asks again.
    outgoing.on('error', (error: Error & { code?: string }) => {
      if (outgoing.reusedSocket && error.code === 'ECONNRESET') resolve(get(worker, path));
      else reject(error);
    });
    outgoing.end();
  });
}
