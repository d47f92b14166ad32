/** Prints what a lease costs with the channels, as a ratio to one in a pool without: with nobody listening, and with somebody. */
import { EventEmitter } from 'node:events';
import { channel } from 'node:diagnostics_channel';
import type { Connector } from '#pooling/core/connector.js';
import { systemClock } from '#pooling/core/clock.js';
import { Pool } from '#pooling/core/pool.js';
import type { PoolObserver } from '#pooling/core/pool-options.js';
import type { PostgresConnection } from '#pooling/database/connection/connection.js';
import { DatabaseEvents } from '#pooling/database/database-events.js';
import { poolOptions } from '#test/engine/pool-options.js';

const LEASES = 60_000;
const ROUNDS = 15;

/** Connections that cost nothing: what is left is the pool. */
const connector: Connector<PostgresConnection> = {
  open: () => Promise.resolve({} as PostgresConnection),
  usable: () => true,
  close: () => Promise.resolve(),
};

async function openPool(observer: PoolObserver<PostgresConnection>): Promise<Pool<PostgresConnection>> {
  const pool = new Pool(poolOptions({ size: 1, maxOverflow: 0 }), connector, { observer });
  (await pool.acquire()).release();
  return pool;
}

function events(): DatabaseEvents {
  return new DatabaseEvents({
    name: 'cost',
    clock: { ...systemClock, now: () => 0 },
    slowAcquireMs: 0,
    observer: {},
    emitter: new EventEmitter(),
    levels: () => ({ open: 1, idle: 0, max: 1, waiting: 0 }),
    dialled: () => {},
  });
}

/** Nanoseconds for a lease, from acquire to release. */
function lease(pool: Pool<PostgresConnection>): number {
  const startedAt = process.hrtime.bigint();
  for (let turn = 0; turn < LEASES; turn++) pool.tryAcquire()?.release();
  return Number(process.hrtime.bigint() - startedAt) / LEASES;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] as number;
}

/** How many times as long a lease takes in `one` as in `other`: the median of rounds in which both take turns. */
function ratio(one: Pool<PostgresConnection>, other: Pool<PostgresConnection>): { ratio: number; ns: number } {
  for (const pool of [one, other, one, other]) lease(pool);
  const rounds = Array.from({ length: ROUNDS }, (_, round) => {
    const first = round % 2 === 0 ? lease(one) : undefined;
    const second = lease(other);
    return [first ?? lease(one), second] as const;
  });
  return { ratio: median(rounds.map(([a, b]) => a / b)), ns: median(rounds.map(([a]) => a)) };
}

const [observed, bare] = [await openPool(events()), await openPool({})];
const unheard = ratio(observed, bare);
const listener = (): void => {};
channel('nestjs-pooling:acquire').subscribe(listener);
channel('nestjs-pooling:release').subscribe(listener);
const heard = ratio(observed, bare);
console.log(JSON.stringify({ unheard, heard }));
await Promise.all([observed.close(0), bare.close(0)]);
