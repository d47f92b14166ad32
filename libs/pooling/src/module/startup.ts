import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { PoolConnectError } from '../core/errors.js';
import type { EngineAcquireOptions } from '../core/pool-options.js';
import type { DatabasePool } from '../database/database-pool.js';
import { connectFailureOf, lookAtDatabase } from './first-look.js';
import { PoolAdvice } from './pool-advice.js';
import { PoolStore, type DatabaseEntry } from './pool-store.js';
import { PoolShutdown } from './shutdown.js';

/** Starts the pools when every provider is there: nothing connects before. */
@Injectable()
export class PoolStartup implements OnApplicationBootstrap {
  constructor(
    private readonly store: PoolStore,
    private readonly shutdown: PoolShutdown,
    private readonly advice: PoolAdvice,
  ) {}

  /**
   * Fills the `warm` pools in the background, and waits for a connection of the `required` ones.
   *
   * @throws PoolConnectError `ERR_POOL_CONNECT_FAILED` when a required database can't be reached,
   * `ERR_POOL_OPTIONS_INVALID` when required pools may want more than their server can ever give; every pool is closed
   * by then, because Nest runs no shutdown hooks after a failed start.
   */
  async onApplicationBootstrap(): Promise<void> {
    const used = this.store.databases.filter(({ inUse }) => inUse);
    try {
      await Promise.all(used.map(startPool));
      if (used.some(({ pool }) => pool.configuration.startup === 'required')) await this.advice.refuseImpossible();
    } catch (error) {
      await this.shutdown.closeAll();
      throw error;
    }
  }
}

async function startPool({ pool }: DatabaseEntry): Promise<void> {
  const { startup, connectTimeoutMs } = pool.configuration;
  if (startup === 'lazy') return;
  if (startup === 'required') await requireConnection(pool, connectTimeoutMs);
  pool.start();
  if (startup === 'warm') void lookAtDatabase(pool);
}

async function requireConnection(pool: DatabasePool, timeoutMs: number): Promise<void> {
  try {
    const own: EngineAcquireOptions = { timeoutMs, use: 'own' };
    const client = await pool.connect(own);
    client.release();
  } catch (error) {
    const { cause, words } = connectFailureOf(pool, error);
    throw new PoolConnectError(
      pool.name,
      `${pool.name}: no connection could be opened within ${timeoutMs} ms, and the application can't start without ` +
        `one (startup: 'required'): ${words}`,
      { cause },
    );
  }
}
