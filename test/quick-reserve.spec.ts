import { sql } from 'kysely';
import type { QueryConfig } from 'pg';
import { onTestFinished } from 'vitest';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { useTestDatabase } from './support/database.js';
import { Gate } from './support/gate.js';

const database = useTestDatabase();

const SLOW = 'select pg_advisory_xact_lock_shared($1::bigint)::text as passed';
const QUICK = 'select $1::int * 2 as twice';
/** How long a slow statement takes on the pool's clock, in milliseconds. */
const SLOWLY_MS = 200;

interface Laboratory {
  readonly pool: DatabasePool;
  readonly clock: ManualClock;
}

/** A pool whose ten connections are open. Its time stands still: a statement is as slow as its test says. */
async function poolOf(options: DatabaseOptions = {}): Promise<Laboratory> {
  const clock = new ManualClock();
  const given = { url: database.url, size: 10, maxOverflow: 0, maxConnecting: 10, prePing: false, ...options };
  const pool = new DatabasePool('reserve', given, { clock });
  onTestFinished(async () => void (await pool.close({ deadlineMs: 0 })));
  const clients = await Promise.all(Array.from({ length: given.size }, () => pool.connect()));
  for (const client of clients) client.release();
  return { pool, clock };
}

/** Runs something that stops at the gate, and lets it take long. */
async function runSlowly({ clock }: Laboratory, gate: Gate, run: () => Promise<unknown>): Promise<void> {
  const running = run();
  await gate.waitedAt();
  await clock.advance(SLOWLY_MS);
  await gate.open();
  await running;
}

/** A pool that knows which of both statements is slow. */
async function learnedPool(options: DatabaseOptions = {}): Promise<Laboratory> {
  const made = await poolOf(options);
  const { pool } = made;
  for (let use = 0; use < 8; use++) await pool.query(QUICK, [use]);
  for (let use = 0; use < 2; use++) {
    const gate = await Gate.closed(database.url);
    await runSlowly(made, gate, () => pool.query(SLOW, [gate.key]));
  }
  return made;
}

describe('quick queries', () => {
  it.each([
    ['each on a connection of its own', {}],
    ['on shared connections', { pipelining: { depth: 16 } }],
  ])('%s, are answered while slow ones take every connection that they may have', async (_how, options) => {
    const { pool } = await learnedPool(options);
    await using gate = await Gate.closed(database.url);
    const slow = Array.from({ length: 30 }, () => pool.query(SLOW, [gate.key]));
    await gate.waitedAt(9);
    expect(pool.statistics()).toMatchObject({ inUse: 9, idle: 1, waiting: 21, aside: 21, slow: 9 });
    const quick = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.query<{ twice: number }>(QUICK, [n])));
    expect(quick.map(({ rows }) => rows[0]?.twice)).toEqual(Array.from({ length: 50 }, (_, n) => 2 * n));
    // So are transactions, clients and pings.
    expect((await pool.withConnection((client) => client.query('select 1 as one'))).rows).toEqual([{ one: 1 }]);
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    await gate.waitedAt(9);
    await gate.open();
    for (const { rows } of await Promise.all(slow)) expect(rows).toEqual([{ passed: '' }]);
    expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0, aside: 0, slow: 0 });
  });

  it('wait for slow ones with quickReserve: 0', async () => {
    const { pool } = await learnedPool({ quickReserve: 0 });
    await using gate = await Gate.closed(database.url);
    const slow = Array.from({ length: 30 }, () => pool.query(SLOW, [gate.key]));
    await gate.waitedAt(10);
    let answered = false;
    const quick = pool.query(QUICK, [1]).then(() => (answered = true));
    expect(pool.statistics()).toMatchObject({ inUse: 10, waiting: 21, aside: 0 });
    await database.query('select 1');
    expect(answered).toBe(false);
    await gate.open();
    await Promise.all([...slow, quick]);
  });

  it.each<[string, DatabaseOptions]>([
    ['of a text without parameters', {}],
    ['without prepared statements', { preparedStatements: false }],
  ])('go on beside slow ones %s', async (_which, options) => {
    const made = await poolOf(options);
    const { pool } = made;
    const db = createKysely<Record<string, never>>(pool);
    const first = await Gate.closed(database.url);
    const run = (): Promise<unknown> =>
      options.preparedStatements === false
        ? pool.query(SLOW, [first.key])
        : sql`select ${sql.raw(first.passed)}`.execute(db);
    await runSlowly(made, first, run);
    await using gate = await Gate.closed(database.url, first.key);
    const slow = Array.from({ length: 12 }, run);
    await gate.waitedAt(9);
    expect(pool.statistics()).toMatchObject({ waiting: 3, aside: 3, slow: 9 });
    expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
    await gate.open();
    await Promise.all(slow);
    // Quick now: after a few runs it is like any other.
    for (let use = 0; use < 6; use++) await run();
    await using again = await Gate.closed(database.url, first.key);
    const all = Array.from({ length: 10 }, run);
    await again.waitedAt(10);
    expect(pool.statistics()).toMatchObject({ waiting: 0, slow: 0 });
    await again.open();
    await Promise.all(all);
  });

  it('go on beside statements that never end in time', async () => {
    const made = await poolOf();
    const { pool, clock } = made;
    await using gate = await Gate.closed(database.url);
    const run = (): Promise<unknown> =>
      pool.query({ text: SLOW, values: [gate.key], query_timeout: 500 } as QueryConfig);
    for (let use = 0; use < 2; use++) {
      const timedOut = expect(run()).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
      await gate.waitedAt();
      await clock.advance(600);
      await timedOut;
      // Its backend is cancelled.
      await gate.waitedAt(0);
    }
    const slow = Array.from({ length: 12 }, () => run().catch(() => undefined));
    await gate.waitedAt(9);
    expect(pool.statistics()).toMatchObject({ aside: 3, slow: 9 });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await gate.open();
    await Promise.all(slow);
  });
});
