import type { PoolStatistics } from '../core/statistics.js';

/** What a health check needs to know of a database's replicas. */
export interface HealthReplicas {
  readonly states: readonly { readonly state: 'up' | 'down' | 'unknown' }[];
}

/** What a health check needs of a database pool. */
export interface HealthDatabase {
  readonly name: string;
  statistics(): PoolStatistics & { readonly replicas?: HealthReplicas };
  /**
   * Proves that the database answers, without queueing behind the application: `degraded` when every connection is
   * in use and one of them answered just now. Rejects when the database doesn't answer within `timeoutMs`.
   */
  ping(options: { readonly timeoutMs: number }): Promise<{ readonly status: 'up' | 'degraded' }>;
}

/** What a health check needs of an HTTP client. */
export interface HealthHttpClient {
  readonly name: string;
  statistics(): HealthHttpStatistics;
}

/** The part of an HTTP client's statistics that says whether it is saturated. */
export interface HealthHttpStatistics {
  readonly sockets: number;
  readonly idle: number;
  readonly inUse: number;
  readonly waiting: number;
  /** 0: no limit. */
  readonly limit: number;
  /** 0: no limit. */
  readonly limitPerHost: number;
  readonly origins: readonly { readonly inUse: number; readonly waiting: number; readonly limit: number }[];
}

/** Where the health room finds the pools of its application; the module room provides it. */
export abstract class HealthSource {
  /** Whether the application is shutting down. */
  abstract readonly draining: boolean;
  /** Every pool that the application uses: those whose token a test has replaced are not among them. */
  abstract databases(): readonly HealthDatabase[];
  /** Every HTTP client that the application uses. */
  abstract httpClients(): readonly HealthHttpClient[];
  /**
   * One pool; `undefined` when a test has replaced it.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED` when there is none of this name.
   */
  abstract database(name: string): HealthDatabase | undefined;
  /** One HTTP client, in the same way. */
  abstract httpClient(name: string): HealthHttpClient | undefined;
}
