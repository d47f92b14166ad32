import { useTestDatabase } from '#test/support/database.js';
import { ManualClock } from '../../testing/manual-clock.js';
import { DatabasePool } from '../database-pool.js';
import type { DatabaseOptions } from '../options/options.js';
import { SlowQueryPlans, type SlowQueryPlan } from './slow-query-plans.js';

const database = useTestDatabase('create table parcels (id int primary key, place text)');

const SLOW =
  "select *, pg_sleep(0.02) from parcels right join (select $1::int as n) v on id = n where place is distinct from 'secret'";

async function plansOf(
  options: DatabaseOptions,
  run: (pool: DatabasePool) => Promise<unknown>,
): Promise<SlowQueryPlan[]> {
  const plans: SlowQueryPlan[] = [];
  const observer = { slowQueryPlan: (plan: SlowQueryPlan) => void plans.push(plan) };
  await using pool = new DatabasePool(
    'slow',
    // An idle connection is asked at once, however long it has been idle.
    { url: database.url, size: 2, slowQueryMs: 10, prePing: false, ...options },
    { observer },
  );
  // One connection is idle while the other is in use.
  const clients = await Promise.all([pool.connect(), pool.connect()]);
  for (const client of clients) client.release();
  await run(pool);
  await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0 }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  return plans;
}

describe('the plan of a slow statement', () => {
  it('is told once, as a tree, for any values and without any', async () => {
    const plans = await plansOf({ slowQueryPlan: true }, async (pool) => {
      for (let n = 0; n < 4; n++) await pool.query(SLOW, [n]);
    });
    expect(plans).toHaveLength(1);
    expect(plans[0]).toMatchObject({ pool: 'slow', statement: expect.stringContaining('from parcels') as string });
    expect(plans[0]?.plan).toMatch(/^→ .*\(cost [\d.]+, \d+ rows\)\n(?: {4}\S.*\n)* {2}→ /);
    expect(plans[0]?.plan).toContain('parcels');
    expect(plans[0]?.plan).not.toContain('secret');
  });

  it('is asked for only where that is wanted, and never of a text that may hold several statements', async () => {
    expect(await plansOf({}, (pool) => pool.query(SLOW, [1]))).toEqual([]);
    const plans = await plansOf({ slowQueryPlan: true }, (pool) =>
      pool.query('select pg_sleep(0.02); insert into parcels values (7)'),
    );
    expect(plans).toEqual([]);
    expect(await database.query('select count(*)::int from parcels')).toEqual([{ count: 1 }]);
  });

  it('is asked for once a minute, and once an hour for the same text', async () => {
    const clock = new ManualClock();
    const asked: string[] = [];
    const ask = (text: string): Promise<unknown[]> => {
      asked.push(text.slice(-8));
      return Promise.resolve([{ 'QUERY PLAN': [{ Plan: { 'Node Type': 'Result' } }] }]);
    };
    const plans = new SlowQueryPlans({ pool: 'slow', clock, ask, explained: () => {} });
    for (const text of ['select 1', 'select 2', 'vacuum  ']) plans.slow(text);
    await clock.advance(60_000);
    for (const text of ['select 1', 'select 2']) plans.slow(text);
    await clock.advance(3_600_000);
    plans.slow('select 1');
    expect(asked).toEqual(['select 1', 'select 2', 'select 1']);
  });

  it('is not asked for again of a server that does not know it', async () => {
    const clock = new ManualClock();
    let asked = 0;
    const ask = (): Promise<unknown[]> => {
      asked++;
      return Promise.reject(Object.assign(new Error('unrecognized EXPLAIN option'), { code: '42601' }));
    };
    const plans = new SlowQueryPlans({ pool: 'slow', clock, ask, explained: () => {} });
    plans.slow('select 1');
    await clock.advance(60_000);
    plans.slow('select 2');
    expect(asked).toBe(1);
  });
});
