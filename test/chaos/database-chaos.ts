import { sql, type Kysely } from 'kysely';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PoolCommitUnknownError } from '#pooling/core/errors.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabasePoolStatistics } from '#pooling/database/database-statistics.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import { TrackedSockets } from '#test/support/tracked-sockets.js';
import { SeededRandom } from '#test/support/random.js';

/** What a run is made with. */
export interface DatabaseChaosOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly workers?: number;
  /** Over the run's own options. */
  readonly pool?: DatabaseOptions;
  /** Told of each fault. */
  readonly log?: (line: string) => void;
}

/** What a run has seen. */
export interface DatabaseChaosReport {
  readonly seed: number;
  readonly succeeded: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly committed: number;
  readonly unknown: number;
  readonly longestMs: number;
  readonly heapGrowthBytes: number;
  readonly statistics: DatabasePoolStatistics;
}

interface Ledger {
  entries: { id: string };
}

const ACQUIRE_TIMEOUT_MS = 2_000;
const QUERY_TIMEOUT_MS = 1_000;
/** What one operation may take at the most: three tries of a transaction with four statements each, and a busy machine. */
const LONGEST_MS = 3 * (ACQUIRE_TIMEOUT_MS + 4 * (QUERY_TIMEOUT_MS + 1_000)) + 10_000;
const APPLICATION = 'chaos';

/** Ends with an error that names the seed, so that the run can be had again. */
function holds(condition: boolean, what: string, seed: number, state?: unknown): void {
  if (!condition) {
    throw new Error(
      `${what} (replay: npm run chaos -- --seed ${seed}) ${state === undefined ? '' : JSON.stringify(state)}`,
    );
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/**
 * Load and random faults for a while: connections ended, cut and silenced, the server restarted and frozen, the pool
 * resized, suspended and expired, the event loop blocked. Invariants are looked at all the time; at the end no slot,
 * waiter, backend or committed row may be lost.
 */
export async function runDatabaseChaos(options: DatabaseChaosOptions): Promise<DatabaseChaosReport> {
  const server = await PostgresServer.start({ authentication: 'trust', maxConnections: 60 });
  try {
    const proxy = await TcpProxy.listen({ port: server.port });
    try {
      const url = new URL(server.url);
      url.port = String(proxy.port);
      return await new DatabaseChaos(server, proxy, url.href, options).run();
    } finally {
      await proxy.close();
    }
  } finally {
    await server.close();
  }
}

class DatabaseChaos {
  readonly #random: SeededRandom;
  readonly #seed: number;
  readonly #pool: DatabasePool;
  readonly #db: Kysely<Ledger>;
  readonly #failed: Record<string, number> = {};
  readonly #faults: Record<string, number> = {};
  readonly #committed: string[] = [];
  readonly #unknown = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #busySince = new Map<number, number>();
  readonly #sockets = new TrackedSockets();
  #succeeded = 0;
  #longestMs = 0;
  #nextId = 0;
  #running = true;
  #broken: Error | undefined;
  #slotsBefore = 0;

  constructor(
    private readonly server: PostgresServer,
    private readonly proxy: TcpProxy,
    url: string,
    private readonly options: DatabaseChaosOptions,
  ) {
    this.#seed = options.seed;
    this.#random = new SeededRandom(options.seed);
    this.#pool = new DatabasePool('chaos', {
      url,
      connection: { stream: this.#sockets.make },
      size: 8,
      maxOverflow: 4,
      minIdle: 2,
      acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
      connectTimeoutMs: 800,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
      idleTimeoutMs: 1_500,
      maxLifetimeMs: 3_000,
      keepAliveMs: 500,
      maxUses: 300,
      prePing: { idleMs: 200, timeoutMs: 300 },
      applicationName: APPLICATION,
      ...options.pool,
    });
    this.#db = createKysely<Ledger>(this.#pool);
  }

  async run(): Promise<DatabaseChaosReport> {
    await this.#onServer('create table entries (id text primary key)');
    this.#pool.start();
    const workers = Array.from({ length: this.options.workers ?? 24 }, (_, worker) => this.#work(worker));
    const watch = setInterval(() => this.#watch(), 10);
    const endAt = performance.now() + this.options.durationMs;
    let heapAfterWarmUp = 0;
    try {
      while (performance.now() < endAt && this.#broken === undefined) {
        await pause(this.#random.between(20, 500));
        await this.#fault();
        if (heapAfterWarmUp === 0 && performance.now() > endAt - this.options.durationMs * 0.7)
          heapAfterWarmUp = heap();
      }
    } finally {
      await this.#heal();
      this.#running = false;
      await Promise.all(workers);
      clearInterval(watch);
    }
    if (this.#broken !== undefined) throw this.#broken;
    await this.#proveNothingLost();
    const heapGrowthBytes = heap() - heapAfterWarmUp;
    await this.#pool.close({ deadlineMs: 5_000 });
    await this.#proveNothingLeft();
    return {
      seed: this.#seed,
      succeeded: this.#succeeded,
      failed: this.#failed,
      faults: this.#faults,
      committed: this.#committed.length,
      unknown: this.#unknown.size,
      longestMs: this.#longestMs,
      heapGrowthBytes,
      statistics: this.#pool.statistics(),
    };
  }

  async #work(worker: number): Promise<void> {
    // Its own numbers: how far other workers are must not change what this one does.
    const random = new SeededRandom(this.#seed * 1_000 + worker);
    while (this.#running) {
      const startedAt = performance.now();
      this.#busySince.set(worker, startedAt);
      try {
        await this.#operate(random);
        this.#succeeded++;
      } catch (error) {
        const { code, message } = error as { code?: unknown; message?: string };
        const name = typeof code === 'string' ? code : (message ?? String(error));
        this.#failed[name] = (this.#failed[name] ?? 0) + 1;
      }
      this.#busySince.delete(worker);
      this.#longestMs = Math.max(this.#longestMs, performance.now() - startedAt);
      await pause(random.between(0, 10));
    }
  }

  #operate(random: SeededRandom): Promise<unknown> {
    return random.pick<() => Promise<unknown>>([
      [10, () => this.#pool.query('select $1::int as one', [1])],
      [6, () => sql`select pg_sleep(${random.next() * 0.02})`.execute(this.#db)],
      [2, () => expectFailure(this.#pool.query('select 1/0'), '22012')],
      [1, () => this.#pool.query('select pg_sleep(1.3)')],
      [8, () => this.#enter(random)],
      [2, () => this.#forgetCommit()],
      [2, () => this.#throwInside()],
      [3, () => this.#abort(random)],
      [2, () => this.#destroyOnRelease()],
      [1, () => this.#releaseWhileBusy()],
    ])();
  }

  /** A row of its own, whose fate has to be the one that was told. */
  async #enter(random: SeededRandom): Promise<void> {
    const id = `${this.#nextId++}`;
    try {
      await retryTransaction(this.#db, async (transaction) => {
        await transaction.insertInto('entries').values({ id }).execute();
        if (random.next() < 0.3) await sql`select pg_sleep(0.01)`.execute(transaction);
        if (random.next() < 0.1) throw new Error('changed my mind');
      });
      this.#committed.push(id);
    } catch (error) {
      if (error instanceof PoolCommitUnknownError) this.#unknown.add(id);
      else this.#refused.add(id);
      throw error;
    }
  }

  async #forgetCommit(): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      await client.query('select 1');
    } finally {
      client.release();
    }
  }

  async #throwInside(): Promise<void> {
    const reason = new Error('thrown inside');
    const error = await this.#pool
      .withConnection(async (client) => {
        await client.query('select 1');
        throw reason;
      })
      .catch((caught: unknown) => caught);
    if (error !== reason) throw error;
  }

  async #abort(random: SeededRandom): Promise<void> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error('aborted')), random.between(0, 30));
    try {
      const client = await this.#pool.connect({ signal: abort.signal });
      client.release();
    } finally {
      clearTimeout(timer);
    }
  }

  async #destroyOnRelease(): Promise<void> {
    const client = await this.#pool.connect();
    client.release(true);
  }

  async #releaseWhileBusy(): Promise<void> {
    const client = await this.#pool.connect();
    const abandoned = client.query('select pg_sleep(0.05)').catch(() => {});
    client.release();
    await abandoned;
  }

  async #fault(): Promise<void> {
    const random = this.#random;
    const [name, perform] = random.pick<readonly [string, () => void | Promise<unknown>]>([
      [4, ['terminate some', () => this.#terminate(0.4)]],
      [2, ['terminate all', () => this.#terminate(1)]],
      [3, ['cut with FIN', () => void this.proxy.cut('fin', () => random.next() < 0.5)]],
      [3, ['cut with RST', () => void this.proxy.cut('rst', () => random.next() < 0.5)]],
      [2, ['cut at COMMIT', () => void this.proxy.cutWhen({ bytes: 'commit', deliver: random.next() < 0.5 })]],
      [2, ['refuse', () => this.#whileLasting(() => this.proxy.refuse())]],
      [2, ['stall', () => this.#whileLasting(() => this.proxy.stall())]],
      [2, ['blackhole', () => this.#whileLasting(() => this.proxy.blackhole('both'))]],
      [1, ['blackhole the answers', () => this.#whileLasting(() => this.proxy.blackhole('toClient'))]],
      [2, ['delay', () => this.#whileLasting(() => this.proxy.delay(random.between(1, 60)))]],
      [1, ['throttle', () => this.#whileLasting(() => this.proxy.throttle(random.between(2_000, 50_000)))]],
      [2, ['restart fast', () => this.server.restart('fast')]],
      [2, ['restart immediate', () => this.server.restart('immediate')]],
      [2, ['freeze', () => this.#freeze()]],
      [2, ['expire all', () => this.#pool.expireAll()]],
      [2, ['resize', () => this.#resize()]],
      [1, ['suspend', () => this.#suspend()]],
      [1, ['block the event loop', () => block(random.between(50, 400))]],
      [3, ['leave in peace', () => pause(500)]],
    ]);
    this.#faults[name] = (this.#faults[name] ?? 0) + 1;
    this.options.log?.(name);
    await perform();
  }

  async #terminate(share: number): Promise<void> {
    await this.server
      .terminateBackends((backend) => backend.applicationName === APPLICATION && this.#random.next() < share)
      .catch(() => {}); // the server may be full of dying backends
  }

  async #whileLasting(trouble: () => void | Promise<void>): Promise<void> {
    await trouble();
    await pause(this.#random.between(50, 900));
    await this.proxy.forward();
  }

  async #freeze(): Promise<void> {
    await this.server.pause();
    await pause(this.#random.between(50, 700));
    await this.server.resume();
  }

  #resize(): void {
    // What was opened since the last look is measured by the bounds that held until now.
    this.#watch();
    this.#pool.resize({ size: this.#random.between(2, 10), maxOverflow: this.#random.between(0, 4) });
  }

  async #suspend(): Promise<void> {
    this.#pool.suspend();
    await pause(this.#random.between(10, 200));
    this.#pool.resume();
  }

  async #heal(): Promise<void> {
    await this.proxy.forward();
    this.#pool.resume();
    if (!this.server.running) await this.server.start();
  }

  #watch(): void {
    try {
      const { size, idle, inUse, connecting, closing, waiting, max, acquired, released, opened, closed } =
        this.#pool.statistics();
      const state = { size, idle, inUse, connecting, closing, waiting, max };
      const slots = size + connecting + closing;
      holds(slots <= Math.max(max, this.#slotsBefore), 'more connections than allowed', this.#seed, state);
      this.#slotsBefore = slots;
      holds(connecting <= 4, 'more dials at once than allowed', this.#seed, state);
      holds(idle + inUse === size && Math.min(idle, inUse) >= 0, 'levels disagree', this.#seed, state);
      const closings = Object.values(closed).reduce((sum, count) => sum + count, 0);
      holds(opened === size + closings, 'opened ≠ open + closed', this.#seed, state);
      const held = this.#pool.holders().length;
      const leases = acquired - released;
      const depth = this.#pool.configuration.pipelining === false ? 1 : this.#pool.configuration.pipelining.depth;
      // Connections may be shared: each is held by at least one, and by no more than may be.
      const agree = leases >= held && leases <= held * depth;
      holds(agree, 'acquired ≠ released + held', this.#seed, { acquired, released, held, ...state });
      const now = performance.now();
      for (const since of this.#busySince.values()) {
        holds(now - since < LONGEST_MS, 'an operation does not end', this.#seed, { forMs: now - since, ...state });
      }
    } catch (error) {
      this.#broken ??= error as Error;
      this.#running = false;
    }
  }

  /** With everything healed: nobody waits, and every slot can be leased. */
  async #proveNothingLost(): Promise<void> {
    const { waiting, aside, slow, inUse, acquired, released } = this.#pool.statistics();
    holds(waiting === 0 && aside === 0, 'a waiter is left', this.#seed, { waiting, aside });
    holds(slow === 0, 'a slow query is counted and doesn’t run', this.#seed, { slow });
    holds(acquired === released, 'a lease is left', this.#seed, { acquired, released, inUse });
    this.#pool.resize({ size: 8, maxOverflow: 4 });
    const clients = await Promise.all(Array.from({ length: 12 }, () => this.#pool.connect({ timeoutMs: 10_000 })));
    const pids = await Promise.all(
      clients.map(async (client) => (await client.query('select pg_backend_pid() as pid')).rows[0].pid as number),
    );
    holds(new Set(pids).size === 12, 'two borrowers share a connection', this.#seed, { pids });
    for (const client of clients) client.release();
    const rows = await this.#db.selectFrom('entries').select('id').execute();
    const present = new Set(rows.map((row) => row.id));
    const lost = this.#committed.filter((id) => !present.has(id));
    holds(lost.length === 0, 'committed rows are lost', this.#seed, { lost });
    const ghosts = [...present].filter((id) => this.#refused.has(id));
    holds(ghosts.length === 0, 'rows of refused transactions are there', this.#seed, { ghosts });
  }

  async #proveNothingLeft(): Promise<void> {
    // A destroyed socket closes in the next turn.
    await pause(50);
    holds(this.#sockets.open === 0, 'sockets are left', this.#seed, { left: this.#sockets.open });
    // The server has never heard the end of a connection that was blackholed, and the proxy never tells.
    this.proxy.cut('rst');
    const deadline = performance.now() + 15_000;
    for (;;) {
      const left = (await this.server.backends()).filter((backend) => backend.applicationName === APPLICATION);
      if (left.length === 0) return;
      holds(performance.now() < deadline, 'backends are left', this.#seed, left);
      await pause(50);
    }
  }

  async #onServer(statement: string): Promise<void> {
    const pool = new DatabasePool('set-up', { url: this.server.url });
    await pool.query(statement);
    await pool.close();
  }
}

async function expectFailure(query: Promise<unknown>, code: string): Promise<void> {
  const error = await query.then(
    () => new Error(`it should have failed with ${code}`),
    (reason: unknown) => reason,
  );
  if ((error as { code?: string }).code !== code) throw error;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

function heap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
