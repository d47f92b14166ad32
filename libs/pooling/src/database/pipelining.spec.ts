import { CompiledQuery } from 'kysely';
import { Client, type QueryConfig } from 'pg';
import { inject, onTestFinished } from 'vitest';
import type { Clock } from '../core/clock.js';
import { ManualClock } from '../testing/manual-clock.js';
import { DatabasePool } from './database-pool.js';
import { createKysely } from './kysely/kysely.js';
import type { DatabaseOptions } from './options/options.js';
import type { PlannedRun } from './query/plan-watch.js';
import { StatementCache } from './query/statement-cache.js';

const url = inject('databaseUrl');
const TWICE = 'select $1::int * 2 as twice';

async function controlClient(): Promise<Client> {
  const control = new Client(url);
  await control.connect();
  onTestFinished(() => control.end());
  return control;
}

/**
 * A pool whose statements have been used often enough to be known. Its time stands still: a statement is as quick as its
 * test says, however busy the machine is.
 */
async function pipelinedPool(
  options: DatabaseOptions = {},
  texts: readonly string[] = [TWICE],
  clock: Clock = new ManualClock(),
): Promise<DatabasePool> {
  const given = { url, size: 1, maxOverflow: 0, pipelining: { depth: 16 }, ...options };
  const pool = new DatabasePool('pipelined', given, { clock });
  onTestFinished(async () => void (await pool.close({ deadlineMs: 0 })));
  for (const text of texts) for (let use = 0; use < 8; use++) await pool.query(text, [1]);
  return pool;
}

/** A row that `control` holds locked, and what changes it. */
async function lockedRow(control: Client, table: string): Promise<string> {
  await control.query(`create table ${table} (id int primary key, n int); insert into ${table} values (1, 0)`);
  onTestFinished(async () => void (await control.query(`rollback; drop table ${table}`)));
  return `update ${table} set n = n + 1 where id = $1 returning n`;
}

/** Waits until a change of the row has come to its lock. */
async function locked(table: string): Promise<void> {
  const observer = await controlClient();
  await expect
    .poll(async () => {
      const { rows } = await observer.query<{ waiting: number }>(
        "select count(*)::int as waiting from pg_stat_activity where query like $1 and wait_event_type = 'Lock'",
        [`update ${table} %`],
      );
      return rows[0]?.waiting;
    })
    .toBe(1);
}

/** A run of a statement that compared nothing. */
function runOf(use: number): PlannedRun {
  return { use, turn: undefined, shared: false };
}

function isRunning(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch (error) {
    return (error as { code?: unknown }).code !== 'ESRCH';
  }
}

/** Blocks this process until backends have ended, so that whatever they have said is found all at once. */
function blockUntilEnded(processIds: readonly number[]): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let round = 0; round < 2_000 && processIds.some(isRunning); round++) Atomics.wait(never, 0, 0, 5);
}

describe('pipelining', () => {
  it('lets quick statements share a connection, up to the depth, each with its own answer', async () => {
    const pool = await pipelinedPool({ pipelining: { depth: 8 } });
    const before = pool.statistics();
    const answers = Array.from({ length: 40 }, (_, n) => pool.query<{ twice: number }>(TWICE, [n]));
    const { acquired, released, waiting, inUse } = pool.statistics();
    expect({ atOnce: acquired - before.acquired, released: released - before.released, waiting, inUse }).toEqual({
      atOnce: 8,
      released: 0,
      waiting: 32,
      inUse: 1,
    });
    expect((await Promise.all(answers)).map(({ rows }) => rows[0]?.twice)).toEqual(
      Array.from({ length: 40 }, (_, n) => 2 * n),
    );
    expect(pool.statistics()).toMatchObject({
      acquired: before.acquired + 40,
      released: before.acquired + 40,
      opened: 1,
    });
  });

  it('opens what it may all the same, and spreads over it', async () => {
    const pool = await pipelinedPool({ size: 4 });
    for (let round = 0; round < 50 && pool.totalCount < 4; round++) {
      await Promise.all(Array.from({ length: 60 }, (_, n) => pool.query(TWICE, [n])));
    }
    expect(pool.statistics()).toMatchObject({ size: 4, waiting: 0 });
  });

  it('keeps errors to the query that made them', async () => {
    const quotient = 'select 12 / $1::int as quotient';
    const pool = await pipelinedPool({}, [quotient]);
    const answers = await Promise.allSettled(
      Array.from({ length: 60 }, (_, n) => pool.query<{ quotient: number }>(quotient, [n % 4])),
    );
    for (const [n, answer] of answers.entries()) {
      if (n % 4 === 0) expect(answer).toMatchObject({ status: 'rejected', reason: { code: '22012' } });
      else expect(answer).toMatchObject({ status: 'fulfilled', value: { rows: [{ quotient: 12 / (n % 4) }] } });
    }
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1 });
  });

  it('keeps transactions, sessions and what Kysely pins for themselves, in order of arrival', async () => {
    const name = "select current_setting('application_name') as name where $1::int > 0";
    const pool = await pipelinedPool({ size: 2, applicationName: 'shared' }, [name, TWICE]);
    const db = createKysely<Record<string, never>>(pool);
    const order: string[] = [];
    const single = async (): Promise<void> => {
      const { rows } = await pool.query<{ name: string }>(name, [1]);
      expect(rows).toEqual([{ name: 'shared' }]);
      order.push('single');
    };
    const transaction = async (): Promise<void> => {
      await pool.withConnection(async (client) => {
        await client.query('begin');
        await client.query("set local application_name to 'alone'");
        for (let n = 0; n < 5; n++) {
          const { rows } = await client.query<{ name: string }>(name, [1]);
          expect(rows).toEqual([{ name: 'alone' }]);
        }
        await client.query('commit');
      });
      order.push('transaction');
    };
    await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        if (n % 20 === 5) await transaction();
        else if (n % 20 === 15)
          await db.transaction().execute((session) => session.executeQuery(CompiledQuery.raw(name, [1])));
        else await single();
      }),
    );
    expect(order.filter((what) => what === 'transaction')).toHaveLength(10);
    // No transaction waits for the singles that came after it.
    expect(order.indexOf('transaction')).toBeLessThan(100);
  });

  it.each([
    ['select * from orders where id = $1', true],
    ['  with recent as (select 1) select * from recent where $1 > 0', true],
    ['insert into orders values ($1)', true],
    ["select set_config('a.b', $1, false)", false],
    ['select pg_advisory_lock($1)', false],
    ['select pg_try_advisory_xact_lock($1)', false],
    ["select currval('ids'), $1", false],
    ['select pg_sleep($1)', false],
    ['listen changes', false],
    ['set statement_timeout to 1', false],
    ['begin', false],
    ['copy orders to stdout', false],
    ['declare rows cursor for select $1', false],
    ['lock table orders', false],
    ['call refresh($1)', false],
    ['do $$ begin end $$', false],
  ])('by its nature, %s may share a connection: %s', (text, expected) => {
    const cache = new StatementCache(8, () => undefined);
    cache.use(text);
    const prepared = cache.use(text);
    if (prepared === undefined) throw new Error('not prepared');
    expect(cache.shareable(prepared)).toBe(false);
    cache.ran(prepared, runOf(1), 0.2, 0);
    expect(cache.shareable(prepared)).toBe(expected);
  });

  it('gives a statement that is usually slow a connection of its own, until it is quick again', () => {
    const cache = new StatementCache(8, () => undefined);
    const text = 'select $1::int';
    cache.use(text);
    const prepared = cache.use(text);
    if (prepared === undefined) throw new Error('not prepared');
    for (let use = 1; use < 40; use++) cache.ran(prepared, runOf(use), 100, use);
    expect(cache.shareable(prepared)).toBe(false);
    for (let use = 40; use < 90; use++) cache.ran(prepared, runOf(use), 0.2, use);
    expect(cache.shareable(prepared)).toBe(true);
  });

  it('cancels a query at its time-out without taking along those behind it', async () => {
    const control = await controlClient();
    const change = await lockedRow(control, 'pipelined_timeout');
    const clock = new ManualClock();
    const pool = await pipelinedPool({}, [TWICE, change], clock);
    await control.query('begin; update pipelined_timeout set n = 0 where id = 1');
    const config: QueryConfig = { text: change, values: [1] };
    const late = pool.query({ ...config, query_timeout: 200 } as QueryConfig);
    const refused = expect(late).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
    const behind = Array.from({ length: 5 }, (_, n) => pool.query(TWICE, [n]));
    expect(pool.waitingCount).toBe(0);
    await locked('pipelined_timeout');
    await clock.advance(200);
    await refused;
    expect((await Promise.all(behind)).map(({ rows }) => rows[0])).toEqual([0, 2, 4, 6, 8].map((twice) => ({ twice })));
    // Nobody else gets that connection, and nothing of it is left on the server.
    expect((await pool.query(TWICE, [4])).rows).toEqual([{ twice: 8 }]);
    expect(pool.statistics()).toMatchObject({ opened: 2, size: 1 });
    expect(pool.statistics().closed['query-timeout']).toBe(1);
    const { rows } = await control.query<{ waiting: number }>(
      "select count(*)::int as waiting from pg_stat_activity where query like 'update pipelined_timeout%' and wait_event_type = 'Lock'",
    );
    expect(rows).toEqual([{ waiting: 0 }]);
  });

  it('lets nobody stand behind a query that takes much longer than usual', async () => {
    const control = await controlClient();
    const change = await lockedRow(control, 'pipelined_late');
    const clock = new ManualClock();
    const pool = await pipelinedPool({ size: 2 }, [TWICE, change], clock);
    await control.query('begin; update pipelined_late set n = 0 where id = 1');
    const stuck = pool.query(change, [1]);
    await locked('pipelined_late');
    await clock.advance(100);
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 40 }, (_, n) => pool.query(TWICE, [n])));
    }
    expect(pool.statistics()).toMatchObject({ inUse: 1, waiting: 0 });
    await control.query('rollback');
    expect((await stuck).rowCount).toBe(1);
  });

  it('runs elsewhere, unseen, what stood behind a query whose connection the server ended', async () => {
    const control = await controlClient();
    const change = await lockedRow(control, 'pipelined_ended');
    const pool = await pipelinedPool({}, [TWICE, change]);
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    await control.query('begin; update pipelined_ended set n = 0 where id = 1');
    const ended = expect(pool.query(change, [1])).rejects.toMatchObject({ code: '57P01' });
    const behind = Array.from({ length: 9 }, (_, n) => pool.query(TWICE, [n]));
    await locked('pipelined_ended');
    await control.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    await ended;
    expect((await Promise.all(behind)).map((answer) => answer.rows[0])).toEqual(
      Array.from({ length: 9 }, (_, n) => ({ twice: 2 * n })),
    );
    expect(pool.statistics()).toMatchObject({ opened: 2, waiting: 0, inUse: 0 });
  });

  it.each([false, { depth: 16 }] as const)(
    'runs elsewhere what was sent on connections that had been ended already, with pipelining %j',
    async (pipelining) => {
      const control = await controlClient();
      const pool = await pipelinedPool({ size: 3, pipelining, applicationName: 'ended before' });
      const clients = await Promise.all(Array.from({ length: 3 }, () => pool.connect()));
      const processIds = clients.map((client) => (client as unknown as { processID: number }).processID);
      for (const client of clients) client.release();
      const terminated = control.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ended before'",
      );
      blockUntilEnded(processIds);
      const answers = await Promise.allSettled(Array.from({ length: 6 }, (_, n) => pool.query(TWICE, [n])));
      await terminated;
      expect(answers).toEqual(
        Array.from({ length: 6 }, (_, n) => ({
          status: 'fulfilled',
          value: expect.objectContaining({ rows: [{ twice: 2 * n }] }),
        })),
      );
    },
  );

  it('lets those under way finish when the pool is closed', async () => {
    const pool = await pipelinedPool({ size: 2 });
    const answers = Array.from({ length: 16 }, (_, n) => pool.query(TWICE, [n]));
    const report = await pool.close({ deadlineMs: 5_000 });
    expect(report).toMatchObject({ graceful: true, refused: 0, destroyed: [] });
    expect(await Promise.all(answers)).toHaveLength(16);
    const { acquired, released } = pool.statistics();
    expect(acquired).toBe(released);
  });

  it('goes on sending when a test has replaced setImmediate for a while, and never called it back', async () => {
    const pool = await pipelinedPool();
    vi.useFakeTimers({ toFake: ['setImmediate'] });
    const answers = [1, 2, 3].map((n) => pool.query(TWICE, [n]));
    vi.useRealTimers();
    const other = await pipelinedPool();
    answers.push(...[4, 5, 6].map((n) => other.query(TWICE, [n])));
    expect((await Promise.all(answers)).map(({ rows }) => rows)).toEqual(
      [1, 2, 3, 4, 5, 6].map((n) => [{ twice: 2 * n }]),
    );
  });
});
