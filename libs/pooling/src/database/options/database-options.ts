import type { QueryComments } from './query-comments.js';
import type { FleetBudget } from '../fleet/fleet-members.js';
import type { KyselyConfig } from 'kysely';
import type { Client, ClientConfig } from 'pg';
import type { AddressSource, ConnectionTarget } from './connection-options.js';
import type { FindHosts, HostAddress, HostTarget, LoadBalanceHosts, TargetSessionAttrs } from './host-options.js';

/** Fills the options that aren't given: for a small service, a medium one, and one under high load. */
export type DatabasePreset = 'small' | 'medium' | 'high';

/** `'lazy'`: connect on first use. `'warm'`: fill `minIdle` in the background. `'required'`: the start fails without a connection. */
export type DatabaseStartup = 'lazy' | 'warm' | 'required';

/** A check of a connection before it is leased. */
export interface PrePingOptions {
  /** A connection idle for longer is checked before a lease, in milliseconds. 500 by default. */
  readonly idleMs?: number | undefined;
  /** How long the check may take, in milliseconds. 5000 by default. */
  readonly timeoutMs?: number | undefined;
}

/**
 * What all processes of an application may have of one server's connections together.
 *
 * ```ts
 * const pool = new DatabasePool('orders', { size: 20, applicationName: 'orders', budget: { connections: 100 } });
 * ```
 */
export interface BudgetOptions {
  /** The most connections of all processes with the same `applicationName` and role, over all databases of the server. */
  readonly connections: number;
  /** What each process may have without asking, when it starts and when it idles. 2 by default. */
  readonly min?: number | undefined;
  /** How often a process looks who else is there, in milliseconds, give or take a quarter. 5000 by default. */
  readonly checkMs?: number | undefined;
}

/**
 * What a read through a replica sees of what was written before: with `'read-your-writes'` at least all that its own request
 * has written, with `'eventual'` whatever has arrived.
 */
export type ReplicaConsistency = 'read-your-writes' | 'eventual';

/**
 * Further hosts of a database, for reads: those of `@InjectReplicaDb()`. Each host has a pool of its own. Every other option
 * is as for the database unless it is given; user, password and database as well. `targetSessionAttrs` is `'standby'`.
 *
 * ```ts
 * const pool = new DatabasePool('shop', {
 *   url: 'postgres://shop@db1.internal,db2.internal,db3.internal/shop',
 *   replicas: { hosts: [{ host: 'db2.internal' }, { host: 'db3.internal' }], size: 20, maxLagMs: 5_000 },
 * });
 * ```
 */
export interface ReplicaOptions extends Omit<DatabaseOptions, 'replicas' | 'startup' | 'plugins' | 'log'> {
  /** A replica that is further behind isn't read from: 10000. */
  readonly maxLagMs?: number | undefined;
  /** How long a read waits for a replica that is full, or hasn't got what it must see, before it goes to the primary: 50. */
  readonly waitMs?: number | undefined;
  /** `'read-your-writes'`. */
  readonly consistency?: ReplicaConsistency | undefined;
}

/** {@link ReplicaOptions} with every default filled in. */
export interface ResolvedReplicaOptions {
  readonly maxLagMs: number;
  readonly waitMs: number;
  readonly consistency: ReplicaConsistency;
  /** The options of their pools, with all of their hosts. */
  readonly pool: ResolvedDatabaseOptions;
}

/** Values of server settings, as `SET` takes them. */
export type SessionSettings = Readonly<Record<string, string | number | boolean>>;

/**
 * Makes a returned connection fit for its next borrower. Runs after an open transaction was rolled back; when it
 * throws, or takes longer than a ping may, the connection is closed with the reason `reset`.
 */
export type ResetHook = (client: Client) => void | Promise<void>;

/**
 * How a database pool is reached, sized and timed. Times are milliseconds; every option has a default.
 *
 * ```ts
 * PoolingModule.forRoot({
 *   database: {
 *     url: process.env.DATABASE_URL,
 *     preset: 'medium',
 *     size: 30,
 *     acquireTimeoutMs: 2_000,
 *     onConnect: async (client) => {
 *       await client.query("set search_path to 'shop'");
 *     },
 *   },
 * });
 * ```
 */
export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database?…`. Left out, with `connection` too: `DATABASE_URL`, then the `PG*` variables. */
  readonly url?: string | undefined;
  /**
   * Connection fields of `pg`: `host`, `ssl`, `password` (may be an async function), …. The URL wins field by field.
   * `sslnegotiation: 'direct'` needs pg 8.22, and is refused with an older one. Fields that nothing reads are refused, and
   * fields that contradict the URL.
   */
  readonly connection?: ClientConfig | undefined;
  /**
   * Several hosts of one database. A function that gives them is called again at each recheck: for discovery. User, password and
   * database come from `url` or `connection`. A host there has to be one of these; with a function, it is dialled until the
   * function has answered.
   */
  readonly hosts?: readonly HostAddress[] | FindHosts | undefined;
  /**
   * Which of the hosts may be connected to: `'any'` with one host, `'read-write'` with several. Behind a pooler the server itself is
   * asked for its role. libpq's `target_session_attrs`.
   */
  readonly targetSessionAttrs?: TargetSessionAttrs | undefined;
  /** `'random'`: hosts, and then each one's addresses, in another order at each dial. `'disable'`, in their order, by default. libpq's. */
  readonly loadBalanceHosts?: LoadBalanceHosts | undefined;
  /** How long what is known of one of several hosts is believed, and how often they are looked at: 10000. pgjdbc's `hostRecheckSeconds`. */
  readonly hostRecheckMs?: number | undefined;
  /** `'small'` by default. */
  readonly preset?: DatabasePreset | undefined;
  /** Connections kept when idle: 10 / 20 / 50. SQLAlchemy's `pool_size`. */
  readonly size?: number | undefined;
  /** Extra connections under load, closed when given back and nobody waits: 5 / 10 / 20. SQLAlchemy's `max_overflow`. */
  readonly maxOverflow?: number | undefined;
  /** Opened at start and refilled in the background, at most `size`: 0. asyncpg's `min_size`, HikariCP's `minimumIdle`. */
  readonly minIdle?: number | undefined;
  /** One deadline over queue, dial and check: 30000 / 15000 / 5000. SQLAlchemy's `pool_timeout`. */
  readonly acquireTimeoutMs?: number | undefined;
  /** One dial: DNS, TCP, TLS, authentication, session settings, `onConnect`: 10000. asyncpg's `timeout`. */
  readonly connectTimeoutMs?: number | undefined;
  /** An idle connection beyond `minIdle` is closed after this: 300000; 0: never. asyncpg's `max_inactive_connection_lifetime`. */
  readonly idleTimeoutMs?: number | undefined;
  /** A connection is recycled after this age: 3600000 / 1800000 / 900000; 0: never. SQLAlchemy's `pool_recycle`. */
  readonly maxLifetimeMs?: number | undefined;
  /** The share of its lifetime by which a connection's own is shortened at random, 0 to 1: 0.25. */
  readonly lifetimeJitter?: number | undefined;
  /** A connection is recycled after this many leases: 0, never. asyncpg's `max_queries`. */
  readonly maxUses?: number | undefined;
  /** Connections idle for longer are checked before a lease: `{ idleMs: 500, timeoutMs: 5000 }`, high: `false`. HikariCP's `aliveBypassWindow`. */
  readonly prePing?: boolean | PrePingOptions | undefined;
  /** Idle connections are pinged in the background this often: 120000; 0: never. */
  readonly keepAliveMs?: number | undefined;
  /** A longer queue is refused at once with `ERR_POOL_QUEUE_FULL`: 10000. */
  readonly maxWaiting?: number | undefined;
  /** Dials under way at once: 4. */
  readonly maxConnecting?: number | undefined;
  /**
   * Connections that are kept from single queries known to be slow (they usually take 10 ms or more), so that quick ones go
   * on while many of those run: a tenth of the most there may be now, rounded; 0: none. Fewer than `size` and `maxOverflow`
   * together. When nothing else has asked for a connection for a second, slow ones may have all.
   */
  readonly quickReserve?: number | undefined;
  /**
   * Client side: a query that takes longer rejects with `ERR_POOL_QUERY_TIMEOUT` and its connection is destroyed:
   * 60000; 0: none. asyncpg's `command_timeout`. Cursors, streams and `COPY` are not limited by it.
   */
  readonly queryTimeoutMs?: number | undefined;
  /** Server side `statement_timeout`: 60000; 0: the server's own. It doesn't count for cursors, streams and `COPY`. */
  readonly statementTimeoutMs?: number | undefined;
  /**
   * How long the server may be silent while a cursor, a stream or a `COPY` waits for it: 60000; 0: for ever. Then they fail
   * with `ERR_POOL_QUERY_TIMEOUT` and their connection is destroyed. A consumer may take as long as it likes.
   */
  readonly streamIdleTimeoutMs?: number | undefined;
  /** Server side `lock_timeout`: 0, the server's own. */
  readonly lockTimeoutMs?: number | undefined;
  /** Server side `idle_in_transaction_session_timeout`: 0, the server's own. */
  readonly idleInTransactionTimeoutMs?: number | undefined;
  /**
   * Settings made after connecting, in one round trip and never in the start-up packet, so that PgBouncer accepts
   * them: `{ timezone: 'UTC' }`. What is given replaces that, and wins over the time-outs above.
   */
  readonly session?: SessionSettings | undefined;
  /**
   * Runs once for each new connection, after its settings are made and within `connectTimeoutMs`; with
   * `reset: 'discard'` again at each return, so that it has to be of a kind that can run twice. A failure is a
   * failed dial, seen by those who wait as the cause of their time-out. asyncpg's `init`.
   */
  readonly onConnect?: ((client: Client) => void | Promise<void>) | undefined;
  /** Runs at each lease, within `connectTimeoutMs`; a failure destroys the connection, and the borrower sees it. asyncpg's `setup`. */
  readonly onAcquire?: ((client: Client) => void | Promise<void>) | undefined;
  /**
   * On return: `'rollback'` (default) ends an open transaction, and needs no round trip otherwise; `'discard'` also
   * runs `DISCARD ALL`, makes the `session` settings again and runs `onConnect` again, but not what a listener of the
   * pool's `connect` event did; `'none'` runs nothing, and a connection with an open
   * transaction is closed; or a function.
   */
  readonly reset?: 'rollback' | 'discard' | 'none' | ResetHook | undefined;
  /**
   * A lease held longer is reported with the stack that acquired it: 0, off and free of cost. Single queries give
   * their connection back by themselves, and aren't watched.
   */
  readonly leakDetectionMs?: number | undefined;
  /** An acquire that waits longer is logged, with how full the pool is: 0, off. */
  readonly slowAcquireMs?: number | undefined;
  /** A statement that takes longer is logged, without its parameters' values: 0, off. Cursors, streams and `COPY` aren't timed. */
  readonly slowQueryMs?: number | undefined;
  /**
   * Whether the plan of a statement over `slowQueryMs` is logged, from PostgreSQL 16 on: `false`. For any values of its
   * parameters (`GENERIC_PLAN`) and without running it; once for each text and hour, one a minute, over an idle connection.
   */
  readonly slowQueryPlan?: boolean | undefined;
  /** Named statements, cached per connection: `{ max: 256 }`; `false`: off (PgBouncer below 1.21). */
  readonly preparedStatements?: boolean | { readonly max?: number | undefined } | undefined;
  /** Single queries share busy connections: `false`, or how many. */
  readonly pipelining?: false | { readonly depth?: number | undefined } | undefined;
  /**
   * Tags in a comment behind each statement, in sqlcommenter's form, for `pg_stat_activity`, `pg_stat_statements` and cloud
   * consoles: none. They are the same for all, so that statements stay prepared; at most 16. Cursors, streams, `COPY` and
   * the ends of transactions have none.
   */
  readonly queryComments?: QueryComments | undefined;
  /** Handed to Kysely. */
  readonly plugins?: KyselyConfig['plugins'] | undefined;
  /** Handed to Kysely. */
  readonly log?: KyselyConfig['log'] | undefined;
  /** Shown in `pg_stat_activity`: the package name of the application, else `nestjs-pooling`. */
  readonly applicationName?: string | undefined;
  /**
   * One budget of connections for all processes of the application, shared fairly and lent where they are needed:
   * `{ min: 2, checkMs: 5000 }`. Off by default, and off behind a pooler. `size` and `maxOverflow` remain the most of
   * one process.
   */
  readonly budget?: BudgetOptions | undefined;
  /** Further hosts for reads, which `@InjectReplicaDb()` goes to: none. */
  readonly replicas?: ReplicaOptions | undefined;
  /** What happens at the start of the application: `'warm'`. */
  readonly startup?: DatabaseStartup | undefined;
}

/** {@link DatabaseOptions} with every default filled in, frozen, and without a visible secret. */
export interface ResolvedDatabaseOptions {
  readonly name: string;
  readonly preset: DatabasePreset;
  readonly target: ConnectionTarget;
  /** Who says so: the options, `DATABASE_URL`, or the `PG*` variables and the driver's defaults. */
  readonly addressFrom: AddressSource;
  /** Every host, in order; with a function, those that are dialled until it has answered. */
  readonly hosts: readonly HostTarget[];
  readonly targetSessionAttrs: TargetSessionAttrs;
  readonly loadBalanceHosts: LoadBalanceHosts;
  readonly hostRecheckMs: number;
  readonly size: number;
  readonly maxOverflow: number;
  readonly minIdle: number;
  readonly acquireTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly lifetimeJitter: number;
  readonly maxUses: number;
  readonly prePing: false | Required<PrePingOptions>;
  readonly keepAliveMs: number;
  readonly maxWaiting: number;
  readonly maxConnecting: number;
  /** `undefined`: a tenth of the most connections there may be now. */
  readonly quickReserve: number | undefined;
  readonly queryTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly lockTimeoutMs: number;
  readonly idleInTransactionTimeoutMs: number;
  readonly session: SessionSettings;
  readonly onConnect: DatabaseOptions['onConnect'];
  readonly onAcquire: DatabaseOptions['onAcquire'];
  readonly reset: NonNullable<DatabaseOptions['reset']>;
  readonly leakDetectionMs: number;
  readonly slowAcquireMs: number;
  readonly slowQueryMs: number;
  readonly slowQueryPlan: boolean;
  readonly queryComments: QueryComments | undefined;
  readonly preparedStatements: false | { readonly max: number };
  readonly pipelining: false | { readonly depth: number };
  readonly plugins: KyselyConfig['plugins'];
  readonly log: KyselyConfig['log'];
  readonly applicationName: string;
  readonly budget: FleetBudget | undefined;
  readonly replicas: ResolvedReplicaOptions | undefined;
  readonly startup: DatabaseStartup;
  /** What `pg.Client` is made with. Not enumerable, and its password is hidden in a function. */
  readonly clientConfig: ClientConfig;
  /** Whether a server that doesn't bind the password's exchange to its certificate is refused. Not enumerable. */
  readonly bindsChannel: boolean;
  /** The function that gives the hosts. Not enumerable. */
  readonly findHosts: FindHosts | undefined;
}
