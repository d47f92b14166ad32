import { sql, type Kysely } from 'kysely';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { Gate } from '#test/support/gate.js';
import { isAtLeast, versionOf } from '#test/support/peer-version.js';
import { useProxiedDatabase } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';

const version = versionOf('kysely');
const abortable = isAtLeast('kysely', '0.29.0');
if (!abortable) {
  process.stderr.write(
    `\nNOT TESTED: Kysely ${version} knows no abort signals: test/compatibility/kysely-abort.spec.ts is for 0.29 (npm run test:compat)\n`,
  );
}

/** What Kysely 0.29 adds, which the types of 0.28 don't know. */
interface Abortable<Result> {
  execute(options: {
    signal: AbortSignal;
    inflightQueryAbortStrategy?: 'ignore query' | 'cancel query' | 'kill session';
  }): Promise<Result>;
  stream(options: { signal: AbortSignal; chunkSize?: number }): AsyncIterable<unknown>;
}

describe.runIf(abortable)(`the abort signals of Kysely ${version} (needs 0.29: npm run test:compat)`, () => {
  const proxied = useProxiedDatabase();
  let pool: DatabasePool;
  let db: Kysely<{ numbers: { n: number } }>;

  beforeAll(async () => {
    await proxied.database.query('create view numbers as select generate_series(1, 1000) as n');
  });
  beforeEach(() => {
    pool = proxied.pools.create({ size: 1 });
    db = createKysely(pool);
  });

  const reason = new Error('the caller has gone');

  /** `pg_sleep` with a mark to be found by. */
  function sleep(mark: string): Abortable<unknown> {
    const query = db.selectNoFrom(sql<string>`pg_sleep(20)::text || ${mark}`.as('slept'));
    return query as unknown as Abortable<unknown>;
  }

  async function active(): Promise<number> {
    const text = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query like '%pg_sleep(20)%'";
    return (await proxied.database.query(text)).length;
  }

  async function begun(): Promise<void> {
    await vi.waitFor(async () => expect(await active()).toBe(1));
  }

  it('before anything was done: nothing is done', async () => {
    await expect(sleep('never').execute({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(pool.statistics()).toMatchObject({ acquired: 0, waiting: 0 });
  });

  it('while a query waits for a connection: it leaves the queue at once', async () => {
    const held = await pool.connect();
    const abort = new AbortController();
    const waiting = sleep('waiting').execute({ signal: abort.signal });
    await vi.waitFor(() => expect(pool.waitingCount).toBe(1));
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(pool.waitingCount).toBe(0);
    held.release();
    expect(await slotsOf(pool)).toEqual(noneLost(1));
    expect(await active()).toBe(0);
  });

  it("in flight with 'cancel query': the server stops, and the connection stays", async () => {
    const abort = new AbortController();
    const query = sleep('cancelled').execute({ signal: abort.signal, inflightQueryAbortStrategy: 'cancel query' });
    query.catch(() => undefined);
    await begun();
    abort.abort(reason);
    await expect(query).rejects.toBe(reason);
    expect(await slotsOf(pool)).toEqual(noneLost(1));
    expect(await active()).toBe(0);
    expect(pool.statistics()).toMatchObject({ opened: 1, cancelFailures: 0 });
  });

  it("in flight with 'kill session': the session ends, and its slot is free", async () => {
    const abort = new AbortController();
    const query = sleep('killed').execute({ signal: abort.signal, inflightQueryAbortStrategy: 'kill session' });
    query.catch(() => undefined);
    await begun();
    abort.abort(reason);
    await expect(query).rejects.toBe(reason);
    expect(await slotsOf(pool)).toEqual(noneLost(1));
    await vi.waitFor(async () => expect(await active()).toBe(0));
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
  });

  it('in flight and left to itself: the connection comes back when the query has ended', async () => {
    const abort = new AbortController();
    await using gate = await Gate.closed(proxied.database.url);
    const query = db.selectNoFrom(sql.raw<string>(gate.passed).as('passed')) as unknown as Abortable<unknown>;
    const aborted = query.execute({ signal: abort.signal });
    aborted.catch(() => undefined);
    await gate.waitedAt();
    abort.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await gate.open();
    expect(await slotsOf(pool)).toEqual(noneLost(1));
    expect(pool.statistics().opened).toBe(1);
  });

  it('inside a transaction: it is rolled back, and its connection stays', async () => {
    await proxied.database.query('create table written (id int)');
    const abort = new AbortController();
    const transaction = db.transaction().execute(async (trx) => {
      await sql`insert into written values (1)`.execute(trx);
      const slow = trx.selectNoFrom(sql<string>`pg_sleep(20)::text`.as('slept')) as unknown as Abortable<unknown>;
      await slow.execute({ signal: abort.signal, inflightQueryAbortStrategy: 'cancel query' });
    });
    transaction.catch(() => undefined);
    await begun();
    abort.abort(reason);
    await expect(transaction).rejects.toBe(reason);
    expect(await proxied.database.query('select * from written')).toEqual([]);
    expect(await slotsOf(pool)).toEqual(noneLost(1));
  });

  it('while a stream is read: its connection comes back', async () => {
    const abort = new AbortController();
    const stream = (db.selectFrom('numbers').select('n') as unknown as Abortable<unknown>).stream({
      signal: abort.signal,
      chunkSize: 10,
    });
    let rows = 0;
    const read = async (): Promise<void> => {
      for await (const row of stream) {
        if (row !== undefined && ++rows === 5) abort.abort(reason);
      }
    };
    await expect(read()).rejects.toBe(reason);
    expect(rows).toBeLessThan(1_000);
    expect(await slotsOf(pool)).toEqual(noneLost(1));
  });
});
