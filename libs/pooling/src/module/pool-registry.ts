import { Injectable } from '@nestjs/common';
import type { Advice } from '../advice/advice.js';
import type { Holder } from '../core/holders.js';
import type { DatabasePool } from '../database/database-pool.js';
import type { HttpClient } from '../http/http-client.js';
import type { HttpClientStatistics } from '../http/pool/statistics.js';
import type { PoolStatistics } from '../core/statistics.js';
import { plainSettings, type PlainSettings } from './plain-settings.js';
import { PoolAdvice } from './pool-advice.js';
import { PoolStore } from './pool-store.js';
import { DEFAULT_NAME } from './tokens.js';

/** A database pool as plain JSON. */
export interface DatabaseSnapshot {
  readonly name: string;
  /** The options with their defaults; no password, no function. */
  readonly configuration: PlainSettings;
  readonly statistics: PoolStatistics;
  /** Who holds connections, longest first. */
  readonly holders: readonly Holder[];
  /** What was found about it when the advisor last looked. */
  readonly advice: readonly Advice[];
}

/** An HTTP client as plain JSON. */
export interface HttpClientSnapshot {
  readonly name: string;
  /** The options with their defaults; no header value, no key, no function. */
  readonly configuration: PlainSettings;
  readonly statistics: HttpClientStatistics;
  readonly advice: readonly Advice[];
}

/** Every pool and client of an application as plain JSON. */
export interface PoolingSnapshot {
  readonly databases: readonly DatabaseSnapshot[];
  readonly httpClients: readonly HttpClientSnapshot[];
}

/**
 * Every pool and HTTP client of the application, to look at and to look up by name.
 *
 * ```ts
 * @Controller('statistics')
 * class StatisticsController {
 *   constructor(private readonly pools: PoolRegistry) {}
 *
 *   @Get()
 *   waiting() {
 *     return this.pools.databases().map((pool) => ({ pool: pool.name, waiting: pool.statistics().waiting }));
 *   }
 * }
 * ```
 */
@Injectable()
export class PoolRegistry {
  /** @internal Made by Nest. */
  constructor(
    private readonly store: PoolStore,
    private readonly advice: PoolAdvice,
  ) {}

  /**
   * The pool of a database.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED` when there is none of this name.
   */
  database(name: string = DEFAULT_NAME): DatabasePool {
    return this.store.database(name).pool;
  }

  /**
   * An HTTP client.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED` when there is none of this name.
   */
  http(name: string = DEFAULT_NAME): HttpClient {
    return this.store.httpClient(name);
  }

  /** The pools of all databases, the default one first. */
  databases(): DatabasePool[] {
    return this.store.databases.map(({ pool }) => pool);
  }

  /** All HTTP clients, the default one first. */
  httpClients(): HttpClient[] {
    return [...this.store.httpClients];
  }

  /** Every pool and client as plain JSON: configuration without secrets, statistics, holders, advice. */
  snapshot(): PoolingSnapshot {
    return {
      databases: this.store.databases.map(({ pool }) => ({
        name: pool.name,
        configuration: plainSettings(pool.configuration),
        statistics: pool.statistics(),
        holders: pool.holders(),
        advice: this.#adviceFor(pool.name),
      })),
      httpClients: this.store.httpClients.map((client) => ({
        name: client.name,
        configuration: plainSettings(client.options),
        statistics: client.statistics(),
        advice: this.#adviceFor(client.name),
      })),
    };
  }

  #adviceFor(name: string): Advice[] {
    return this.advice.advisor.latest.filter(({ pool }) => pool === name);
  }
}
