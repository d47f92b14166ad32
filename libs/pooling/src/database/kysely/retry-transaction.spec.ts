import { sql, type Kysely, type Transaction } from 'kysely';
import { useProxiedDatabase } from '#test/support/proxied-pools.js';
import { ManualClock } from '../../testing/manual-clock.js';
import type { DatabasePool } from '../database-pool.js';
import { createKysely } from './kysely.js';
import { isRetriable } from './retries.js';
import { retryTransaction } from './retry-transaction.js';

interface Schema {
  account: { id: number; balance: number };
}

const proxied = useProxiedDatabase();
let pool: DatabasePool;
let db: Kysely<Schema>;

beforeAll(async () => {
  await proxied.database.query('create table account (id int primary key, balance int not null)');
});
beforeEach(async () => {
  await proxied.database.query('truncate account');
  await proxied.database.query('insert into account values (1, 100), (2, 100)');
  pool = proxied.pools.create({ size: 10 });
  db = createKysely<Schema>(pool);
});
afterEach(async () => {
  const { graceful } = await pool.close({ deadlineMs: 20_000 });
  if (!graceful) throw new Error('a slot was lost');
});

const fail = (transaction: Transaction<Schema>, state: string): Promise<unknown> =>
  sql.raw(`do $$ begin raise exception 'made up' using errcode = '${state}'; end $$`).execute(transaction);

const balance = async (id: number): Promise<number | undefined> =>
  (await proxied.database.query<{ balance: number }>('select balance from account where id = $1', [id]))[0]?.balance;

const addFive = (transaction: Transaction<Schema>): Promise<unknown> =>
  transaction
    .updateTable('account')
    .set({ balance: sql`balance + 5` })
    .where('id', '=', 1)
    .execute();

const FAST = { baseDelayMs: 1, maxDelayMs: 2 };

describe('retryTransaction', () => {
  it('gives the result, and commits', async () => {
    const result = await retryTransaction(db, async (transaction) => {
      await transaction.updateTable('account').set({ balance: 7 }).where('id', '=', 1).execute();
      return 'done';
    });
    expect([result, await balance(1)]).toEqual(['done', 7]);
  });

  it.each(['40001', '40P01'])('tries again after %s, each time from a clean transaction', async (state) => {
    let tries = 0;
    await retryTransaction(
      db,
      async (transaction) => {
        await transaction
          .updateTable('account')
          .set({ balance: sql`balance - 10` })
          .where('id', '=', 1)
          .execute();
        if (++tries < 3) await fail(transaction, state);
      },
      FAST,
    );
    expect([tries, await balance(1)]).toEqual([3, 90]);
  });

  it('rethrows the last error when every attempt has failed', async () => {
    let tries = 0;
    const run = retryTransaction(
      db,
      async (transaction) => {
        tries++;
        await fail(transaction, tries === 3 ? '40P01' : '40001');
      },
      FAST,
    );
    await expect(run).rejects.toMatchObject({ code: '40P01' });
    expect(tries).toBe(3);
    tries = 0;
    await expect(
      retryTransaction(
        db,
        async (transaction) => {
          tries++;
          await fail(transaction, '40001');
        },
        { ...FAST, attempts: 5 },
      ),
    ).rejects.toMatchObject({ code: '40001' });
    expect(tries).toBe(5);
  });

  it.each(['23505', '22012', '57014'])('does not try again after %s', async (state) => {
    let tries = 0;
    const run = retryTransaction(
      db,
      async (transaction) => {
        tries++;
        await fail(transaction, state);
      },
      FAST,
    );
    await expect(run).rejects.toMatchObject({ code: state });
    expect(tries).toBe(1);
  });

  it('does not try again after an error of the application', async () => {
    let tries = 0;
    const mine = new Error('out of stock');
    await expect(retryTransaction(db, () => (tries++, Promise.reject(mine)), FAST)).rejects.toBe(mine);
    expect(tries).toBe(1);
  });

  it('resolves real deadlocks', async () => {
    const transfer = (from: number, to: number): Promise<unknown> =>
      retryTransaction(
        db,
        async (transaction) => {
          await transaction
            .updateTable('account')
            .set({ balance: sql`balance - 1` })
            .where('id', '=', from)
            .execute();
          await sql`select pg_sleep(0.02)`.execute(transaction);
          await transaction
            .updateTable('account')
            .set({ balance: sql`balance + 1` })
            .where('id', '=', to)
            .execute();
        },
        { attempts: 10, ...FAST },
      );
    await Promise.all([transfer(1, 2), transfer(2, 1), transfer(1, 2)]);
    expect([await balance(1), await balance(2)]).toEqual([99, 101]);
  });

  it('resolves real serialization failures', async () => {
    const add = (): Promise<unknown> =>
      retryTransaction(
        db,
        async (transaction) => {
          const row = await transaction
            .selectFrom('account')
            .select('balance')
            .where('id', '=', 1)
            .executeTakeFirstOrThrow();
          await transaction
            .updateTable('account')
            .set({ balance: row.balance + 1 })
            .where('id', '=', 1)
            .execute();
        },
        { attempts: 50, ...FAST, isolationLevel: 'serializable' },
      );
    await Promise.all(Array.from({ length: 6 }, add));
    expect(await balance(1)).toBe(106);
  });

  it.each(['begin', 'update '])('tries again when the connection is lost at "%s"', async (bytes) => {
    let tries = 0;
    void proxied.pools.proxy.cutWhen({ bytes });
    await retryTransaction(
      db,
      async (transaction) => {
        tries++;
        await addFive(transaction);
      },
      FAST,
    );
    expect(await balance(1)).toBe(105);
    // BEGIN leaves with the first statement, so that the callback has been called.
    expect(tries).toBe(2);
  });

  it('tries again when the server shuts the connection down in mid-transaction', async () => {
    let tries = 0;
    await retryTransaction(
      db,
      async (transaction) => {
        tries++;
        await addFive(transaction);
        if (tries === 1) await sql`select pg_terminate_backend(pg_backend_pid())`.execute(transaction);
      },
      FAST,
    );
    expect([tries, await balance(1)]).toEqual([2, 105]);
  });

  it.each([true, false])(
    'never tries again after commit was sent without an answer; it had arrived: %s',
    async (deliver) => {
      let tries = 0;
      void proxied.pools.proxy.cutWhen({ bytes: 'commit\0', deliver });
      const run = retryTransaction(
        db,
        async (transaction) => {
          tries++;
          await addFive(transaction);
        },
        FAST,
      );
      await expect(run).rejects.toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
      expect(tries).toBe(1);
      await vi.waitFor(async () => expect(await balance(1)).toBe(deliver ? 105 : 100));
    },
  );

  it('waits longer from try to try, at random and up to a limit, through the clock', async () => {
    const clock = new ManualClock();
    let tries = 0;
    const run = retryTransaction(
      db,
      async (transaction) => {
        tries++;
        await fail(transaction, '40001');
      },
      { attempts: 4, baseDelayMs: 100, maxDelayMs: 250, clock, random: () => 0.5 },
    ).catch((error: unknown) => error);
    for (const [number, pauseMs] of [50, 100, 125].entries()) {
      await vi.waitFor(() => expect(clock.pendingTimers).toBe(1));
      await clock.advance(pauseMs - 1);
      expect(tries).toBe(number + 1);
      await clock.advance(1);
    }
    await run;
    expect(tries).toBe(4);
  });

  it.each(['during a try', 'in the pause after it'])('stops when its signal is aborted %s', async (when) => {
    const abort = new AbortController();
    const reason = new Error('enough');
    let tries = 0;
    const run = retryTransaction(
      db,
      async (transaction) => {
        tries++;
        if (when === 'during a try') abort.abort(reason);
        await fail(transaction, '40001').finally(() => setTimeout(() => abort.abort(reason), 20));
      },
      { baseDelayMs: 1_000_000, maxDelayMs: 1_000_000, signal: abort.signal, random: () => 0.9 },
    );
    await expect(run).rejects.toBe(reason);
    await expect(retryTransaction(db, () => Promise.resolve(), { signal: abort.signal })).rejects.toBe(reason);
    expect(tries).toBe(1);
  });

  it('refuses nonsense', async () => {
    await expect(retryTransaction(db, () => Promise.resolve(), { attempts: 0 })).rejects.toMatchObject({
      code: 'ERR_POOL_OPTIONS_INVALID',
    });
  });

  it('knows what is worth another try', () => {
    expect(isRetriable('40001')).toBe(false);
    expect(isRetriable(new Error('Connection terminated unexpectedly'))).toBe(true);
    expect(isRetriable(Object.assign(new Error(), { code: 'EPIPE' }))).toBe(true);
    expect(isRetriable(Object.assign(new Error(), { code: 'ECONNREFUSED' }))).toBe(false);
  });
});
