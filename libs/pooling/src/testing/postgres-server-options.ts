import type { PostgresAuthentication } from './postgres-data.js';

/**
 * How a server ends. `'smart'`: when its last client has gone. `'fast'`: transactions are rolled back and clients
 * disconnected. `'immediate'`: at once, as in a crash; the next start recovers.
 */
export type StopMode = 'smart' | 'fast' | 'immediate';

/**
 * What a {@link PostgresServer} is made of.
 *
 * ```ts
 * const server = await PostgresServer.start({ authentication: 'trust', maxConnections: 20, settings: { work_mem: '8MB' } });
 * ```
 */
export interface PostgresServerOptions {
  /** Where the data is, made when it isn't there. Left out: a fresh folder under the system's temporary folder. */
  readonly dataDirectory?: string | undefined;
  /** The port on 127.0.0.1; 0 or left out: a free one, kept when the server is started again. */
  readonly port?: number | undefined;
  /** Server settings, as in `postgresql.conf`: `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** `max_connections`; left out: the server's own 100. Three of them are kept for superusers, which `url` is. */
  readonly maxConnections?: number | undefined;
  /** How clients prove who they are, decided when the data is made; `'scram-sha-256'` by default. */
  readonly authentication?: PostgresAuthentication | undefined;
  /** The password of the user `postgres`; left out: one is made up, and kept with the data. */
  readonly password?: string | undefined;
  /**
   * Whether the data is kept and written safely. True by default when `dataDirectory` is given; a throw-away server
   * doesn't wait for its disk, and its data is removed by `close()`, or when the process ends.
   */
  readonly persistent?: boolean | undefined;
}

/** Whether the data outlives the server. */
export function isPersistent(options: PostgresServerOptions): boolean {
  return options.persistent ?? options.dataDirectory !== undefined;
}
