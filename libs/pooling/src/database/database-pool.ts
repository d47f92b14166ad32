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
import { asNobody } from '../core/async-context.js';
import { systemClock, type Clock, type Timer } from '../core/clock.js';
import { poolChannel } from '../core/diagnostics.js';
import type { Holder } from '../core/holders.js';
import { Pool } from '../core/pool.js';
import { keepRequests } from '../core/request-context.js';
import { packageProblems } from '../core/optional-package.js';
import type { AcquireOptions, CloseReport } from '../core/pool-options.js';
import type { SpanSink } from '../core/span-sink.js';
import type { PoolHistograms, PoolStatistics } from '../core/statistics.js';
import { integer, refuseProblems } from '../core/validation.js';
import type { PostgresConnection } from './connection/connection.js';
import { DatabaseEvents, type DatabasePoolObserver } from './database-events.js';
import { announce, DatabaseLeases } from './database-leases.js';
import { DatabaseConnector } from './connection/connector.js';
import { resolveDatabaseOptions, type DatabaseOptions, type ResolvedDatabaseOptions } from './options/options.js';
import { engineOptionsOf } from './options/engine-options.js';
import { pg, pgPackage } from './pg.js';
import { pgOptionsOf } from './options/pg-options.js';
import { DatabasePing, type PingResult } from './ping.js';
import { ServerRole } from './connection/server-role.js';
import type { RoleOfServer } from './hosts/connection-role.js';
import { PoolHosts } from './hosts/pool-hosts.js';
import { choosesHost } from './options/chosen-hosts.js';
import type { DatabaseTraffic } from './connection/statements-underway.js';
import { QueryTraces } from './query/query-traces.js';
import { SingleQueries } from './query/single-queries.js';
import { shortenStatement } from './query/shown-statement.js';
import { StatementTimeout } from './query/submission.js';
import { SlowQueries } from './query/slow-queries.js';
import { StatementCache } from './query/statement-cache.js';

/** How long leases may finish when `end()` is called, in milliseconds. */
const CLOSE_DEADLINE_MS = 10_000;

/** {@link PoolStatistics} with what a database adds. */
export interface DatabasePoolStatistics extends PoolStatistics {
  /** Connections that came back with an open transaction, which was rolled back. */
  readonly transactionsLeftOpen: number;
  /** Cancel requests, sent after a query's time-out, that failed. */
  readonly cancelFailures: number;
  /** Whether the server takes no writes, by what the newest connections say; asked for once a write was refused (25006). */
  readonly readOnly: boolean;
  /** Statements that borrowers have run. */
  readonly queries: number;
  /** Queries that found their statement prepared on their connection. */
  readonly preparedStatementHits: number;
  /** Queries that didn't: of texts not used before, or not yet on this connection. */
  readonly preparedStatementMisses: number;
}

/** What a pool is made with besides its options. */
export interface DatabasePoolDependencies {
  readonly clock?: Clock;
  /** 0 ≤ number < 1; for jitter. */
  readonly random?: () => number;
  readonly observer?: DatabasePoolObserver;
  /** On whose behalf the present acquire is made, for holders and error messages. */
  readonly label?: () => string | undefined;
  /** Makes spans of what the pool does. */
  readonly spans?: SpanSink | undefined;
  /** How long leases may finish when `end()` or `close()` is called without a deadline, in milliseconds; 10000 by default. */
  readonly closeDeadlineMs?: number;
}

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
  /** @internal */
  readonly leases: DatabaseLeases;
  /** @internal */
  readonly queries: SingleQueries;
  readonly #engine: Pool<PostgresConnection>;
  readonly #ping: DatabasePing;
  readonly #role: RoleOfServer<PostgresConnection>;
  /** There where the pool chooses among hosts. */
  readonly #hosts: PoolHosts<PostgresConnection> | undefined;
  readonly #statements: StatementCache | undefined;
  readonly #traffic: DatabaseTraffic = { queries: 0 };
  readonly #closeDeadlineMs: number;
  readonly #clock: Clock;
  #size: number;
  #maxOverflow: number;
  #closed: Promise<CloseReport> | undefined;
  #transactionsLeftOpen = 0;
  #cancelFailures = 0;

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
    const clock = dependencies.clock ?? systemClock;
    this.name = name;
    this.#clock = clock;
    this.configuration = configuration;
    this.options = pgOptionsOf(configuration);
    this.#size = configuration.size;
    this.#maxOverflow = configuration.maxOverflow;
    this.#closeDeadlineMs = dependencies.closeDeadlineMs ?? CLOSE_DEADLINE_MS;
    const { clientConfig } = configuration;
    const deadlines = (): Pool<PostgresConnection>['deadlines'] => this.#engine.deadlines;
    const { preparedStatements, slowAcquireMs, slowQueryMs } = configuration;
    const observer = dependencies.observer ?? {};
    if (preparedStatements !== false) {
      this.#statements = new StatementCache(preparedStatements.max, (text, verdict) =>
        observer.replanned?.({ pool: name, statement: shortenStatement(text), ...verdict }),
      );
    }
    const suspectAll = (): void => this.#engine.suspectAll();
    const random = dependencies.random ?? Math.random;
    this.#hosts = choosesHost(configuration)
      ? new PoolHosts<PostgresConnection>(configuration, { clock, random, suspectAll })
      : undefined;
    this.#role = this.#hosts?.role ?? new ServerRole({ clock, suspectAll });
    const traces = new QueryTraces(name, configuration.target, dependencies.spans);
    // A trace tells of a transaction that is tried again as one: what belongs together is known by its context.
    if (dependencies.spans?.active === true) keepRequests();
    const connector = new DatabaseConnector(configuration, {
      name,
      traces,
      clock,
      clientConfig,
      submissions: {
        idleTimeoutMs: configuration.streamIdleTimeoutMs,
        statementTimeout: statementTimeoutOf(configuration),
      },
      statements: this.#statements,
      traffic: this.#traffic,
      get deadlines() {
        return deadlines();
      },
      answered: (lease) => lease.verified(clock.now()),
      slowQueries:
        slowQueryMs === 0
          ? undefined
          : new SlowQueries(name, slowQueryMs, clock, (report) => observer.slowQuery?.(report)),
      queryTimedOut: (error) => events.queryTimedOut(error),
      role: this.#role,
      hosts: this.#hosts,
      cancelFailed: () => this.#cancelFailures++,
      opened: (connection) => announce(this, 'connect', connection.client),
      leftTransaction: (connection) => {
        this.#transactionsLeftOpen++;
        observer.leftOpen?.({ pool: name, statement: connection.underway.leftStatement });
      },
      removed: (connection) => {
        this.#ping.slotFreed();
        // Whoever gave it back last has had another one since, or none.
        asNobody(announce, this, 'remove', connection.client);
      },
    });
    const events: DatabaseEvents = new DatabaseEvents({
      name,
      slowAcquireMs,
      observer,
      emitter: this,
      clock,
      levels: () => this.#engine,
      dialled: (error) => this.#ping.dialled(error),
    });
    this.#engine = new Pool(engineOptionsOf(configuration), connector, {
      clock,
      observer: events,
      describe: (connection) => connection.activity(),
      ...(dependencies.random === undefined ? undefined : { random: dependencies.random }),
      spans: dependencies.spans,
      ...(dependencies.label === undefined ? undefined : { label: dependencies.label }),
    });
    this.leases = new DatabaseLeases({
      name,
      queryTimeoutMs: configuration.queryTimeoutMs,
      engine: this.#engine,
      hooked: configuration.onAcquire !== undefined,
      timedOut: (error) => events.acquireTimedOut(error),
      emitter: this,
    });
    this.queries = new SingleQueries(this.leases, this.#statements, traces, configuration);
    if (poolChannel.hasSubscribers) {
      const { host, port, database } = configuration.target;
      poolChannel.publish({ name, server: `${host}:${port}/${database}` });
    }
    this.#ping = new DatabasePing({
      name,
      clock,
      clientConfig,
      engine: this.#engine,
      leases: this.leases,
      role: this.#role,
    });
  }

  /** Fills `minIdle` in the background and keeps it filled; the first acquire does the same. */
  start(): void {
    this.leases.start();
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
    if (typeof given !== 'function') {
      return this.leases.acquire(given).then((lease) => this.leases.clientOf(lease));
    }
    this.leases.acquire().then(
      (lease) => {
        const client = this.leases.clientOf(lease);
        process.nextTick(() => given(undefined, client, (error) => client.release(error)));
      },
      (error: Error) => process.nextTick(() => given(error, undefined, ignore)),
    );
  }

  /** Runs `fn` with a connection and gives it back, whatever `fn` does. */
  async withConnection<Result>(
    fn: (client: PoolClient) => Result | Promise<Result>,
    options?: AcquireOptions,
  ): Promise<Result> {
    const lease = await this.leases.acquire(options);
    try {
      return await fn(this.leases.clientOf(lease));
    } finally {
      this.leases.giveBack(lease);
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
  query(config: unknown, values?: unknown, callback?: unknown): unknown {
    return this.queries.query(config as never, values as never, callback as never);
  }

  /**
   * Asks whether the database answers, for health probes: never queues behind the application's acquires.
   * Concurrent calls share one ping.
   *
   * @throws `ERR_POOL_CONNECT_FAILED` with the real error as its cause, `ERR_POOL_QUERY_TIMEOUT`, `ERR_POOL_CLOSED`.
   */
  ping(options: { readonly timeoutMs?: number } = {}): Promise<PingResult> {
    if (this.#closed !== undefined) return this.#engine.acquire() as Promise<never>;
    return this.#ping.ping(options.timeoutMs ?? 1_000);
  }

  /** Connections open now, as the server counts them: one that has died counts no more, though somebody may still hold it. */
  get totalCount(): number {
    return this.#engine.alive;
  }

  /** Connections that nobody uses. */
  get idleCount(): number {
    return this.#engine.idle;
  }

  /** Acquires in the queue. */
  get waitingCount(): number {
    return this.#engine.waiting;
  }

  /** Always 0: a connection past its lifetime is closed when it is given back. */
  get expiredCount(): number {
    return 0;
  }

  /** Whether `end()` or `close()` was called. */
  get ending(): boolean {
    return this.#closed !== undefined;
  }

  /** Whether everything is closed. */
  get ended(): boolean {
    return this.#engine.state === 'closed';
  }

  /** `size` and `maxOverflow` as they are in force, after `resize()` too. */
  get bounds(): { readonly size: number; readonly maxOverflow: number } {
    return { size: this.#size, maxOverflow: this.#maxOverflow };
  }

  /** An immutable picture of levels and counters. */
  statistics(): DatabasePoolStatistics {
    return {
      ...this.#engine.statistics(),
      transactionsLeftOpen: this.#transactionsLeftOpen,
      cancelFailures: this.#cancelFailures,
      readOnly: this.#role.readOnly,
      queries: this.#traffic.queries,
      preparedStatementHits: this.#statements?.hits ?? 0,
      preparedStatementMisses: this.#statements?.misses ?? 0,
    };
  }

  /** The distributions behind the percentiles, bucket by bucket. */
  histograms(): PoolHistograms {
    return this.#engine.report.histograms();
  }

  /** Who holds connections, longest first: since when, what runs, and where it was acquired when leak detection is on. */
  holders(): Holder[] {
    return this.#engine.holders();
  }

  /** Takes a connection from its borrower and destroys it; `connection` is a holder's. Returns whether there was one. */
  terminate(connection: number): boolean {
    return this.#engine.terminate(connection);
  }

  /** Replaces every connection when it is next idle: after a change of credentials, or a fail-over. */
  expireAll(): void {
    this.#engine.expireAll();
  }

  /** Gives out no more connections until `resume()`; acquires wait for it until their deadline. */
  suspend(): void {
    this.#engine.suspend();
  }

  /** Ends `suspend()`. */
  resume(): void {
    this.#engine.resume();
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
    this.#engine.resize(size, maxOverflow);
  }

  /** Starts the end: still serves, but opens nothing ahead of demand any more. */
  beginDrain(): void {
    this.#engine.drain();
  }

  /**
   * Refuses waiters and newcomers, lets leases finish until the deadline, destroys what is left, and resolves when
   * every socket is gone. Never rejects; a second call gets the first one's promise.
   */
  close(options: { readonly deadlineMs?: number } = {}): Promise<CloseReport> {
    if (this.#closed === undefined) {
      this.#closed = this.#engine.close(options.deadlineMs ?? this.#closeDeadlineMs);
      this.#ping.poolClosed();
    }
    return this.#closed;
  }

  /** `close()` as `pg.Pool` names it: who has been dialled for already is served first. */
  end(): Promise<void>;
  end(callback: () => void): void;
  end(callback?: () => void): Promise<void> | void {
    this.#closed ??= this.#end();
    const closed = this.#closed;
    if (callback === undefined) return closed.then(ignore);
    void closed.then(() => process.nextTick(callback));
  }

  #end(): Promise<CloseReport> {
    const deadlineMs = this.#closeDeadlineMs;
    const served = this.#engine.finishWaiting();
    if (served === undefined) return this.#engine.close(deadlineMs);
    const startedAt = this.#clock.now();
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => (timer = this.#clock.setTimeout(resolve, deadlineMs)));
    return Promise.race([served, late]).then(() => {
      this.#clock.clearTimeout(timer as Timer);
      return this.#engine.close(Math.max(0, deadlineMs - (this.#clock.now() - startedAt)));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [inspect.custom](): string {
    const { state, size, idle, inUse, waiting, max } = this.#engine.statistics();
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

/** The pool's own limit on statements: one that the session's settings name is the user's. */
function statementTimeoutOf({
  statementTimeoutMs,
  session,
}: Pick<ResolvedDatabaseOptions, 'statementTimeoutMs' | 'session'>): StatementTimeout | undefined {
  const named = Object.keys(session).some((name) => name.toLowerCase() === 'statement_timeout');
  return statementTimeoutMs > 0 && !named ? new StatementTimeout(statementTimeoutMs) : undefined;
}
