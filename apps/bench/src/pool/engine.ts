import { EventEmitter } from 'node:events';
import generic from 'generic-pool';
import pg from 'pg';
import { Pool as TarnPool } from 'tarn';
import type { Connector } from '../../../../libs/pooling/src/core/connector.js';
import type { Lease } from '../../../../libs/pooling/src/core/lease.js';
import { Pool } from '../../../../libs/pooling/src/core/pool.js';

/** How an engine is set up: as many resources, and a time limit for waiting where the engine has one. */
export interface EngineOptions {
  readonly size: number;
  readonly timeoutMs: number;
}

/** A pool of resources that exist in memory only: what is left is the pool's own cost. */
export interface Engine {
  acquire(): Promise<unknown>;
  release(held: unknown): void;
}

class FakeConnection {
  open = true;
}

class FakeConnector implements Connector<FakeConnection> {
  async open(): Promise<FakeConnection> {
    return new FakeConnection();
  }

  usable(connection: FakeConnection): boolean {
    return connection.open;
  }

  async ping(): Promise<void> {}

  reset(): undefined {}

  async close(connection: FakeConnection): Promise<void> {
    connection.open = false;
  }
}

/** This library's engine with its defaults: every statistic, deadlines, checks after idleness, lifetimes. */
function ownEngine({ size, timeoutMs }: EngineOptions): Engine {
  const pool = new Pool<FakeConnection>(
    {
      name: 'bench',
      size,
      maxOverflow: 0,
      minIdle: 0,
      acquireTimeoutMs: timeoutMs,
      connectTimeoutMs: 10_000,
      idleTimeoutMs: 300_000,
      maxLifetimeMs: 3_600_000,
      lifetimeJitter: 0.25,
      maxUses: 0,
      pingAfterIdleMs: 500,
      pingTimeoutMs: 5_000,
      keepAliveMs: 120_000,
      maxWaiting: Infinity,
      maxConnecting: 4,
      sharedLimit: 1,
      quickReserve: undefined,
      leakDetectionMs: 0,
    },
    new FakeConnector(),
  );
  pool.start();
  return {
    acquire: () => pool.acquire(),
    release: (held) => (held as Lease<FakeConnection>).release(),
  };
}

/** What pg-pool needs of a client. */
class FakeClient extends EventEmitter {
  connect(callback: () => void): void {
    process.nextTick(callback);
  }

  end(callback?: () => void): void {
    callback?.();
  }
}

function pgPool({ size, timeoutMs }: EngineOptions): Engine {
  const pool = new pg.Pool({
    max: size,
    Client: FakeClient as unknown as typeof pg.Client,
    ...(timeoutMs === Infinity ? {} : { connectionTimeoutMillis: timeoutMs }),
  });
  return {
    acquire: () => pool.connect(),
    release: (held) => (held as pg.PoolClient).release(),
  };
}

function tarn({ size, timeoutMs }: EngineOptions): Engine {
  const pool = new TarnPool<FakeConnection>({
    min: 0,
    max: size,
    create: async () => new FakeConnection(),
    destroy: async () => undefined,
    acquireTimeoutMillis: timeoutMs === Infinity ? 2 ** 31 - 1 : timeoutMs,
  });
  return {
    acquire: () => pool.acquire().promise,
    release: (held) => void pool.release(held as FakeConnection),
  };
}

function genericPool({ size, timeoutMs }: EngineOptions): Engine {
  const pool = generic.createPool<FakeConnection>(
    { create: async () => new FakeConnection(), destroy: async () => undefined },
    { min: 0, max: size, ...(timeoutMs === Infinity ? {} : { acquireTimeoutMillis: timeoutMs }) },
  );
  return {
    acquire: () => pool.acquire(),
    release: (held) => void pool.release(held as FakeConnection),
  };
}

/** This library's name in tables. */
export const OWN_ENGINE = 'nestjs-pooling';
/** Without a limit, as it is unless somebody sets one. */
export const PG_POOL = 'pg-pool';

/** How long an acquire may wait where nothing is to time out, in milliseconds. */
const PATIENCE_MS = 600_000;

/** Every engine: how it is made, given how long an acquire may wait. */
export const ENGINES: Readonly<Record<string, (options: { size: number; timeoutMs?: number }) => Engine>> = {
  [OWN_ENGINE]: ({ size, timeoutMs = PATIENCE_MS }) => ownEngine({ size, timeoutMs }),
  [PG_POOL]: ({ size, timeoutMs = Infinity }) => pgPool({ size, timeoutMs }),
  'pg-pool with a time limit': ({ size, timeoutMs = PATIENCE_MS }) => pgPool({ size, timeoutMs }),
  tarn: ({ size, timeoutMs = PATIENCE_MS }) => tarn({ size, timeoutMs }),
  'generic-pool': ({ size, timeoutMs = Infinity }) => genericPool({ size, timeoutMs }),
};
