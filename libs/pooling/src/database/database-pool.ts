import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type {
  PoolClient,
  PoolOptions,
  QueryArrayConfig,
  QueryArrayResult,
  QueryConfig,
  QueryConfigValues,
  QueryResult,
  QueryResultRow,
  Submittable,
} from 'pg';
import type { Holder } from '../core/holders.js';
import { packageProblems } from '../core/optional-package.js';
import type { AcquireOptions, CloseReport } from '../core/pool-options.js';
import type { PoolHistograms } from '../core/statistics.js';
import { integer, refuseProblems } from '../core/validation.js';
import { grantAccess } from './database-access.js';
import { DatabaseEnd } from './database-close.js';
import { databasePartsOf, type DatabaseParts, type DatabasePoolDependencies } from './database-parts.js';
import { replicasOf, type DatabaseReplicas } from './database-replicas.js';
import { databaseStatistics, type DatabasePoolStatistics } from './database-statistics.js';
import type { DatabaseOptions } from './options/database-options.js';
import { resolveDatabaseOptions, type ResolvedDatabaseOptions } from './options/options.js';
import { pgOptionsOf } from './options/pg-options.js';
import { pg, pgPackage } from './pg.js';
import type { PingResult } from './ping.js';

/** How long leases may finish when `end()` is called, in milliseconds. */
const CLOSE_DEADLINE_MS = 10_000;

/** Whoever called `connect` with a callback. */
export type ConnectCallback = (
  error: Error | undefined,
  client: PoolClient | undefined,
  done: (release?: Error | boolean) => void,
) => void;

/**
 * A pool of PostgreSQL connections with the public surface of `pg.Pool`, so that whatever takes one of those takes
 * this; see `DatabaseOptions` for what it adds.
 *
 * ```ts
 * await using pool = new DatabasePool('orders', { url: process.env.ORDERS_URL, size: 20 });
 * const { rows } = await pool.query('select * from orders where id = $1', [id]);
 * ```
 *
 * Events, as in `pg-pool`: `connect`, `acquire`, `release`, `remove`; `error` only when somebody listens: a lost idle
 * connection is replaced and never ends the process.
 */
export class DatabasePool extends EventEmitter implements AsyncDisposable {
  /** The name of the pool. */
  readonly name: string;
  /** The options that are in force, without secrets. */
  readonly configuration: ResolvedDatabaseOptions;
  /** The options under the names of `pg.Pool`. */
  readonly options: PoolOptions;
  /** The class that connections are made of. */
  readonly Client = pg.Client;
  readonly #parts: DatabaseParts;
  readonly #replicas: DatabaseReplicas | undefined;
  readonly #end: DatabaseEnd;
  #size: number;
  #maxOverflow: number;

  /** @throws `ERR_POOL_OPTIONS_INVALID` with all that is wrong. */
  constructor(name?: string, options?: DatabaseOptions, dependencies?: DatabasePoolDependencies);
  constructor(options: DatabaseOptions, dependencies?: DatabasePoolDependencies);
  constructor(
    nameOrOptions: string | DatabaseOptions = 'default',
    optionsOrDependencies?: DatabaseOptions | DatabasePoolDependencies,
    namedDependencies?: DatabasePoolDependencies,
  ) {
    super();
    const named = typeof nameOrOptions === 'string';
    const name = named ? nameOrOptions : 'default';
    const options = named ? ((optionsOrDependencies ?? {}) as DatabaseOptions) : nameOrOptions;
    const dependencies = (named ? namedDependencies : (optionsOrDependencies as DatabasePoolDependencies)) ?? {};
    refuseProblems(name, packageProblems('database', pgPackage));
    const configuration = resolveDatabaseOptions(name, options);
    this.name = name;
    this.configuration = configuration;
    this.#size = configuration.size;
    this.#maxOverflow = configuration.maxOverflow;
    this.#parts = databasePartsOf(name, configuration, dependencies, this);
    const { hosts } = this.#parts;
    this.options = pgOptionsOf(configuration, hosts && (() => hosts.present));
    this.#replicas = replicasOf(configuration, this.#parts, dependencies, databasePartsOf);
    this.#end = new DatabaseEnd(this.#parts, this.#replicas, dependencies.closeDeadlineMs ?? CLOSE_DEADLINE_MS);
    grantAccess(this, this.#parts, this.#replicas);
  }

  /** Fills `minIdle` in the background and keeps it filled; the first acquire does the same. */
  start(): void {
    this.#parts.leases.start();
    this.#replicas?.set.start();
  }

  /**
   * Leases a connection as a `pg.PoolClient`; `release()` it in a `finally`.
   *
   * @throws `ERR_POOL_ACQUIRE_TIMEOUT`, `ERR_POOL_SUSPENDED`, `ERR_POOL_QUEUE_FULL`, `ERR_POOL_CLOSED`, the signal's
   * reason, or the error of `onAcquire`.
   */
  connect(options?: AcquireOptions): Promise<PoolClient>;
  connect(callback: ConnectCallback): void;
  connect(given?: AcquireOptions | ConnectCallback): Promise<PoolClient> | void {
    const { leases } = this.#parts;
    if (typeof given !== 'function') return leases.acquire(given).then((lease) => leases.clientOf(lease));
    leases.acquire().then(
      (lease) => {
        const client = leases.clientOf(lease);
        process.nextTick(() => given(undefined, client, (error) => client.release(error)));
      },
      (error: Error) => process.nextTick(() => given(error, undefined, ignore)),
    );
  }

  /** Runs `fn` with a connection and gives it back, whatever `fn` does. */
  withConnection<Result>(
    fn: (client: PoolClient) => Result | Promise<Result>,
    options?: AcquireOptions,
  ): Promise<Result> {
    const { lender } = this.#parts.leases;
    return lender === undefined
      ? this.#withConnection(fn, options)
      : lender.holding(() => this.#withConnection(fn, options));
  }

  async #withConnection<Result>(
    fn: (client: PoolClient) => Result | Promise<Result>,
    options: AcquireOptions | undefined,
  ): Promise<Result> {
    const { leases } = this.#parts;
    const lease = await leases.acquire(options);
    try {
      return await fn(leases.clientOf(lease));
    } finally {
      leases.giveBack(lease);
    }
  }

  /**
   * Runs one statement on whichever connection is free first. An SQL error leaves the connection as it is.
   *
   * @throws what `connect` throws, the server's error, or `ERR_POOL_QUERY_TIMEOUT`.
   */
  query<Kind extends Submittable>(submittable: Kind): Kind;
  query<Row extends unknown[] = unknown[], Values = unknown[]>(
    config: QueryArrayConfig<Values>,
    values?: QueryConfigValues<Values>,
  ): Promise<QueryArrayResult<Row>>;
  query<Row extends QueryResultRow = QueryResultRow, Values = unknown[]>(
    config: QueryConfig<Values>,
  ): Promise<QueryResult<Row>>;
  query<Row extends QueryResultRow = QueryResultRow, Values = unknown[]>(
    config: string | QueryConfig<Values>,
    values?: QueryConfigValues<Values>,
  ): Promise<QueryResult<Row>>;
  query<Row extends unknown[] = unknown[], Values = unknown[]>(
    config: QueryArrayConfig<Values>,
    callback: (error: Error, result: QueryArrayResult<Row>) => void,
  ): void;
  query<Row extends QueryResultRow = QueryResultRow, Values = unknown[]>(
    config: string | QueryConfig<Values>,
    callback: (error: Error, result: QueryResult<Row>) => void,
  ): void;
  query<Row extends QueryResultRow = QueryResultRow, Values = unknown[]>(
    text: string,
    values: QueryConfigValues<Values>,
    callback: (error: Error, result: QueryResult<Row>) => void,
  ): void;
  // And as `pg` has them, to the letter: TypeScript calls a `DatabasePool | PoolClient` by no others.
  query<Row extends QueryResultRow[string][] = QueryResultRow[string][], Values = QueryResultRow[string][]>(
    config: QueryArrayConfig<Values>,
    values?: QueryConfigValues<Values>,
  ): Promise<QueryArrayResult<Row>>;
  query<Row extends QueryResultRow = QueryResultRow[string], Values = QueryResultRow[string][]>(
    config: string | QueryConfig<Values>,
    values?: QueryConfigValues<Values>,
  ): Promise<QueryResult<Row>>;
  query<Row extends QueryResultRow[string][] = QueryResultRow[string][], Values = QueryResultRow[string][]>(
    config: QueryArrayConfig<Values>,
    callback: (error: Error, result: QueryArrayResult<Row>) => void,
  ): void;
  query<Row extends QueryResultRow = QueryResultRow[string], Values = QueryResultRow[string][]>(
    config: string | QueryConfig<Values>,
    callback: (error: Error, result: QueryResult<Row>) => void,
  ): void;
  query<Row extends QueryResultRow = QueryResultRow[string], Values = QueryResultRow[string][]>(
    text: string,
    values: QueryConfigValues<Values>,
    callback: (error: Error, result: QueryResult<Row>) => void,
  ): void;
  query(config: unknown, values?: unknown, callback?: unknown): unknown {
    return this.#parts.queries.query(config as never, values as never, callback as never);
  }

  /**
   * Asks whether the database answers, for health probes: never queues behind the application's acquires.
   * Concurrent calls share one ping.
   *
   * @throws `ERR_POOL_CONNECT_FAILED` with the real error as its cause, `ERR_POOL_QUERY_TIMEOUT`, `ERR_POOL_CLOSED`.
   */
  ping(options: { readonly timeoutMs?: number } = {}): Promise<PingResult> {
    if (this.#end.begun) return this.#parts.engine.acquire() as Promise<never>;
    // Whoever asks how the database is wants to know of its replicas as well.
    void this.#replicas?.set.look();
    return this.#parts.ping.ping(options.timeoutMs ?? 1_000);
  }

  /** Connections open now, as the server counts them: one that has died counts no more, though somebody may still hold it. */
  get totalCount(): number {
    return this.#parts.engine.alive;
  }

  /** Connections that nobody uses. */
  get idleCount(): number {
    return this.#parts.engine.idle;
  }

  /** Acquires in the queue. */
  get waitingCount(): number {
    return this.#parts.engine.waiting;
  }

  /** Always 0: a connection past its lifetime is closed when it is given back. */
  get expiredCount(): number {
    return 0;
  }

  /** Whether `end()` or `close()` was called. */
  get ending(): boolean {
    return this.#end.begun;
  }

  /** Whether everything is closed. */
  get ended(): boolean {
    return this.#parts.engine.state === 'closed';
  }

  /** `size` and `maxOverflow` as they are in force, after `resize()` too. */
  get bounds(): { readonly size: number; readonly maxOverflow: number } {
    return { size: this.#size, maxOverflow: this.#maxOverflow };
  }

  /** An immutable snapshot of levels and counters. */
  statistics(): DatabasePoolStatistics {
    return databaseStatistics(this.#parts, this.#replicas?.set);
  }

  /** The distributions behind the percentiles, bucket by bucket. */
  histograms(): PoolHistograms {
    return this.#parts.engine.report.histograms();
  }

  /**
   * Who holds connections, longest first, those of replicas included: since when, what runs, and where it was acquired when
   * leak detection is on.
   */
  holders(): Holder[] {
    const own = this.#parts.engine.holders();
    const held = this.#replicas?.set.leases.holders() ?? [];
    return held.length === 0 ? own : [...own, ...held].sort((one, other) => other.heldMs - one.heldMs);
  }

  /** Takes a connection from its borrower and destroys it; `connection` is a holder's. Returns whether there was one. */
  terminate(connection: number): boolean {
    return this.#parts.engine.terminate(connection) || (this.#replicas?.set.leases.terminate(connection) ?? false);
  }

  /** Replaces every connection when it is next idle: after a change of credentials, or a fail-over. */
  expireAll(): void {
    this.#parts.engine.expireAll();
    this.#replicas?.set.each((engine) => engine.expireAll());
  }

  /** Gives out no more connections until `resume()`; acquires wait for it until their deadline. */
  suspend(): void {
    this.#parts.engine.suspend();
    this.#replicas?.set.each((engine) => engine.suspend());
  }

  /** Ends `suspend()`. */
  resume(): void {
    this.#parts.engine.resume();
    this.#replicas?.set.each((engine) => engine.resume());
  }

  /**
   * Changes the bounds at run time; what is too much is closed when idle.
   *
   * @throws `ERR_POOL_OPTIONS_INVALID`
   */
  resize({ size = this.#size, maxOverflow = this.#maxOverflow }: { size?: number; maxOverflow?: number }): void {
    refuseProblems(this.name, [
      ...integer({ min: Math.max(1, this.configuration.minIdle) }).problems('size', size),
      ...integer().problems('maxOverflow', maxOverflow),
    ]);
    this.#size = size;
    this.#maxOverflow = maxOverflow;
    this.#parts.engine.resize(size, maxOverflow);
  }

  /** Starts the end: still serves, but opens nothing ahead of demand any more. */
  beginDrain(): void {
    this.#parts.engine.drain();
    this.#replicas?.set.drain();
  }

  /**
   * Refuses waiters and newcomers, lets leases finish until the deadline, destroys what is left, and resolves when
   * every socket is gone. Never rejects; a second call gets the first one's promise.
   */
  close(options: { readonly deadlineMs?: number } = {}): Promise<CloseReport> {
    return this.#end.close(options.deadlineMs);
  }

  /** `close()` as `pg.Pool` names it: who has been dialled for already is served first. */
  end(): Promise<void>;
  end(callback: () => void): void;
  end(callback?: () => void): Promise<void> | void {
    const closed = this.#end.afterWaiting();
    if (callback === undefined) return closed.then(ignore);
    void closed.then(() => process.nextTick(callback));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [inspect.custom](): string {
    const { state, size, idle, inUse, waiting, max } = this.#parts.engine.statistics();
    const { host, port, database } = this.configuration.target;
    return `DatabasePool ${inspect({ name: this.name, state, target: `${host}:${port}/${database}`, size, idle, inUse, waiting, max })}`;
  }
}

// Libraries tell a pool from a client by `instanceof pg.Pool` (Drizzle begins a transaction on whichever connection is
// free otherwise). Everything that is public there is overridden above; nothing of pg-pool's own ever runs.
// Or by the name of its class, which is this one for every pool that `new pg.Pool()` makes (rate-limiter-flexible).
Object.defineProperty(DatabasePool, 'name', { value: 'BoundPool' });
Object.setPrototypeOf(DatabasePool.prototype, pg.Pool.prototype);

function ignore(): void {
  // Nothing is left to be done.
}
