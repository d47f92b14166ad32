import type { Kysely } from 'kysely';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabasePoolStatistics } from '#pooling/database/database-statistics.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { withConsistency } from '#pooling/database/kysely/replicas/consistency.js';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import { SeededRandom } from '#test/support/random.js';

/** What a run is made with. */
export interface ClusterChaosOptions {
  readonly seed: number;
  readonly durationMs: number;
  /** It goes on until so many faults were made, however long that takes: 0. */
  readonly leastFaults?: number;
  readonly workers?: number;
  /** Told of each fault. */
  readonly log?: (line: string) => void;
}

/** What a run has seen. */
export interface ClusterChaosReport {
  readonly seed: number;
  readonly written: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  /** Writes that a primary acknowledged shortly before it was killed: no standby may have had them. */
  readonly unsafe: number;
  /** Reads of requests that had written, while no server had changed its part since: none may miss the write. */
  readonly readBack: number;
  readonly statistics: DatabasePoolStatistics;
}

interface Ledger {
  entries: { id: string };
}

const SIZE = 8;
const MAX_OVERFLOW = 4;
const MAX_CONNECTING = 4;

/**
 * Writes from many workers over a cluster of three whose servers are killed, frozen, cut off, demoted, promoted and taken
 * back, and reads from its standbys. No write may be lost that a primary acknowledged which kept its role, or whose standbys
 * had it; no read may miss what its own request has written; never may there be
 * more dials at once than allowed; at the end no slot and no waiter may be lost.
 */
export async function runClusterChaos(options: ClusterChaosOptions): Promise<ClusterChaosReport> {
  const cluster = await PostgresCluster.start({ authentication: 'trust', maxConnections: 60 });
  try {
    return await new ClusterChaos(cluster, options).run();
  } finally {
    await cluster.close();
  }
}

class ClusterChaos {
  readonly #cluster: PostgresCluster;
  readonly #options: ClusterChaosOptions;
  readonly #random: SeededRandom;
  readonly #pool: DatabasePool;
  readonly #failed: Record<string, number> = {};
  readonly #faults: Record<string, number> = {};
  /** Acknowledged, and to be there at the end. */
  readonly #safe = new Set<string>();
  /** Acknowledged since the standbys were last known to have everything. */
  #recent = new Set<string>();
  #unsafe = 0;
  #readBack = 0;
  /** Counts the primaries that were killed or demoted: what they acknowledged last may be lost. */
  #epoch = 0;
  #nextId = 0;
  #running = true;
  #broken: Error | undefined;

  constructor(cluster: PostgresCluster, options: ClusterChaosOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#pool = new DatabasePool('chaos', {
      url: cluster.url,
      size: SIZE,
      maxOverflow: MAX_OVERFLOW,
      maxConnecting: MAX_CONNECTING,
      acquireTimeoutMs: 5_000,
      connectTimeoutMs: 2_000,
      queryTimeoutMs: 1_500,
      hostRecheckMs: 1_000,
      prePing: { idleMs: 200, timeoutMs: 500 },
      replicas: {
        hosts: cluster.nodes.map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port })),
        size: 4,
        maxOverflow: 0,
      },
    });
  }

  async run(): Promise<ClusterChaosReport> {
    await this.#onPrimary('create table entries (id text primary key)');
    await this.#cluster.caughtUp();
    const workers = Array.from({ length: this.#options.workers ?? 16 }, () => this.#work());
    const watch = setInterval(() => this.#watch(), 10);
    const endAt = performance.now() + this.#options.durationMs;
    const { leastFaults = 0 } = this.#options;
    try {
      for (let made = 0; performance.now() < endAt || made < leastFaults; made++) {
        if (this.#broken !== undefined) break;
        await pause(this.#random.between(50, 500));
        await this.#fault();
      }
    } finally {
      for (const { proxy } of this.#cluster.nodes) await proxy.forward();
      this.#running = false;
      await Promise.all(workers);
      clearInterval(watch);
    }
    if (this.#broken !== undefined) throw this.#broken;
    await this.#proveNothingLost();
    await this.#pool.close({ deadlineMs: 5_000 });
    const { failed, faults } = { failed: this.#failed, faults: this.#faults };
    const statistics = this.#pool.statistics();
    const { readBack, unsafe } = { readBack: this.#readBack, unsafe: this.#unsafe };
    return { seed: this.#options.seed, written: this.#nextId, failed, faults, unsafe, readBack, statistics };
  }

  async #work(): Promise<void> {
    const db = createKysely<Ledger>(this.#pool);
    const replicas = createKysely<Ledger>(this.#pool, { replicas: true });
    while (this.#running) {
      const id = `${this.#nextId++}`;
      await withConsistency(undefined, () => this.#request(db, replicas, id));
      await pause(this.#nextId % 5);
    }
  }

  /** Writes, and reads from a replica what was written. */
  async #request(db: Kysely<Ledger>, replicas: Kysely<Ledger>, id: string): Promise<void> {
    const epoch = this.#epoch;
    try {
      if (this.#nextId % 3 === 0) {
        await retryTransaction(db, (transaction) => transaction.insertInto('entries').values({ id }).execute());
      } else await db.insertInto('entries').values({ id }).execute();
      this.#recent.add(id);
      const read = (from: Kysely<Ledger>): Promise<Ledger['entries'][]> =>
        from.selectFrom('entries').selectAll().where('id', '=', id).execute();
      const rows = await (this.#nextId % 5 === 0 ? replicas.transaction().execute(read) : read(replicas));
      if (epoch !== this.#epoch) return;
      this.#readBack++;
      if (rows.length === 0) this.#breaks(new Error(this.#words('a read misses what its own request has written', id)));
    } catch (error) {
      const { code, message } = error as { code?: unknown; message?: string };
      const name = typeof code === 'string' ? code : (message ?? String(error));
      this.#failed[name] = (this.#failed[name] ?? 0) + 1;
    }
  }

  async #fault(): Promise<void> {
    const random = this.#random;
    const any = (): ClusterNode => this.#cluster.nodes[random.between(0, 2)] as ClusterNode;
    const [name, perform] = random.pick<readonly [string, () => Promise<unknown>]>([
      [3, ['kill the primary', () => this.#killPrimary()]],
      [3, ['demote the primary', () => this.#demotePrimary()]],
      [2, ['kill a standby', () => this.#killStandby()]],
      [2, ['freeze the primary', () => this.#freeze(this.#cluster.primary)]],
      [1, ['freeze a standby', () => this.#freeze(this.#standby())]],
      [3, ['stop the replay', () => this.#stopReplay(this.#standby())]],
      [2, ['cut', () => Promise.resolve(any().proxy.cut('rst'))]],
      [2, ['delay', () => this.#whileLasting(any(), (node) => node.proxy.delay(random.between(1, 50)))]],
      [2, ['stall', () => this.#whileLasting(any(), (node) => node.proxy.stall())]],
      [1, ['refuse', () => this.#whileLasting(any(), (node) => node.proxy.refuse())]],
      [2, ['leave in peace', () => pause(300)]],
    ]);
    this.#faults[name] = (this.#faults[name] ?? 0) + 1;
    this.#options.log?.(name);
    await perform();
  }

  #standby(): ClusterNode {
    const standbys = this.#cluster.nodes.filter((node) => node !== this.#cluster.primary);
    return standbys[this.#random.between(0, standbys.length - 1)] as ClusterNode;
  }

  /** What was acknowledged up to now is on every standby. */
  async #settle(): Promise<void> {
    const known = [...this.#recent];
    await this.#cluster.caughtUp();
    for (const id of known) {
      this.#recent.delete(id);
      this.#safe.add(id);
    }
  }

  async #killPrimary(): Promise<void> {
    const old = this.#cluster.primary;
    await this.#settle();
    await pause(this.#random.between(0, 100));
    this.#epoch++;
    await old.kill();
    this.#epoch++;
    // What it acknowledged last has arrived by then, and may be lost with it.
    await pause(100);
    this.#unsafe += this.#recent.size;
    this.#recent = new Set();
    await this.#cluster.promote(this.#standby());
    await this.#cluster.rejoin(old);
  }

  /** It keeps its connections and refuses writes: the pool has to leave it by itself. */
  async #demotePrimary(): Promise<void> {
    const old = this.#cluster.primary;
    this.#epoch++;
    await old.allowWrites(false);
    // A transaction that had begun may commit yet.
    await pause(200);
    await this.#settle();
    await this.#cluster.promote(this.#standby());
    await this.#settle();
    const before = this.#recent.size;
    const deadline = performance.now() + 15_000;
    while (this.#running && this.#recent.size === before) {
      this.#holds(performance.now() < deadline, 'no write reaches the new primary while the old one runs');
      await pause(10);
    }
    await this.#cluster.rejoin(old);
  }

  async #killStandby(): Promise<void> {
    const standby = this.#standby();
    await standby.kill();
    await pause(this.#random.between(0, 300));
    await this.#cluster.rejoin(standby);
  }

  /** It shows what it has, and lacks what comes. */
  async #stopReplay(node: ClusterNode): Promise<void> {
    await this.#onServer(node, 'select pg_wal_replay_pause()');
    await pause(this.#random.between(100, 1_500));
    await this.#onServer(node, 'select pg_wal_replay_resume()');
  }

  async #freeze({ server }: ClusterNode): Promise<void> {
    await server.pause();
    await pause(this.#random.between(100, 1_800));
    await server.resume();
  }

  async #whileLasting(node: ClusterNode, trouble: (node: ClusterNode) => void | Promise<void>): Promise<void> {
    await trouble(node);
    await pause(this.#random.between(50, 900));
    await node.proxy.forward();
  }

  #watch(): void {
    try {
      const { size, idle, inUse, connecting, closing } = this.#pool.statistics();
      const state = { size, idle, inUse, connecting, closing };
      this.#holds(size + connecting + closing <= SIZE + MAX_OVERFLOW, 'more connections than allowed', state);
      this.#holds(connecting <= MAX_CONNECTING, 'more dials at once than allowed', state);
      this.#holds(idle + inUse === size, 'levels disagree', state);
    } catch (error) {
      this.#breaks(error as Error);
    }
  }

  #breaks(error: Error): void {
    this.#broken ??= error;
    this.#running = false;
  }

  async #proveNothingLost(): Promise<void> {
    for (const id of this.#recent) this.#safe.add(id);
    const { waiting, acquired, released } = this.#pool.statistics();
    this.#holds(waiting === 0 && acquired === released, 'a waiter or a lease is left', { waiting, acquired, released });
    const most = SIZE + MAX_OVERFLOW;
    const clients = await Promise.all(Array.from({ length: most }, () => this.#pool.connect({ timeoutMs: 20_000 })));
    for (const client of clients) client.release();
    const { rows } = await this.#pool.query<{ id: string; port: number }>(
      'select id, inet_server_port() as port from entries',
    );
    this.#holds(rows[0]?.port === this.#cluster.primary.server.port, 'the pool isn’t on the primary', rows[0]);
    const present = new Set(rows.map(({ id }) => id));
    const lost = [...this.#safe].filter((id) => !present.has(id));
    this.#holds(lost.length === 0, 'acknowledged writes are lost', { lost });
  }

  #holds(condition: boolean, what: string, state?: unknown): void {
    if (!condition) throw new Error(this.#words(what, state));
  }

  #words(what: string, state: unknown): string {
    const shown = state === undefined ? '' : JSON.stringify(state);
    return `${what} (replay: npm run chaos -- --cluster --seed ${this.#options.seed}) ${shown}`;
  }

  async #onPrimary(statement: string): Promise<void> {
    await this.#onServer(this.#cluster.primary, statement);
  }

  async #onServer({ server }: ClusterNode, statement: string): Promise<void> {
    const pool = new DatabasePool('set-up', { url: server.url });
    await pool.query(statement);
    await pool.close();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
