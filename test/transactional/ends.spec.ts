import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { HookFailedReport } from '#pooling/database/transaction-tally.js';
import { afterCommit, afterRollback, withoutTransaction } from '#pooling/database/kysely/ambient/outcome-hooks.js';
import { currentTransaction, transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { heldTimer } from '#test/support/turned-time.js';
import { Laboratory, rejection, type Tables } from './laboratory.js';

let laboratory: Laboratory;
let db: Kysely<Tables>;
beforeAll(async () => {
  laboratory = await Laboratory.open();
  ({ db } = laboratory);
});
afterAll(() => laboratory[Symbol.asyncDispose]());
beforeEach(() => laboratory.clear());

const nested = <Result>(fn: () => Result | Promise<Result>): Promise<Result> =>
  transactional(db, { propagation: 'nested' }, fn);

/** Everything that was called, in its order. */
let calls: string[] = [];
beforeEach(() => (calls = []));

function both(name: string): void {
  afterCommit(() => void calls.push(`${name} committed`));
  afterRollback(() => void calls.push(`${name} rolled back`));
}

describe('hooks', () => {
  it('run after the commit, when the connection is back, in order, before the call resolves', async () => {
    await transactional(db, async () => {
      await laboratory.write('one');
      afterCommit(async () => {
        calls.push(`${(await laboratory.committed()).join()}, ${laboratory.pool.statistics().inUse} in use`);
        await sleep(2);
        calls.push('first');
      });
      afterCommit(() => void calls.push('second'));
      calls.push('end');
    });
    expect(calls).toEqual(['end', 'one, 0 in use', 'first', 'second']);
  });

  it('run outside the transaction', async () => {
    await transactional(db, async () => {
      afterCommit(async () => {
        expect(currentTransaction(db)).toBeUndefined();
        await laboratory.write('after');
        afterCommit(() => void calls.push('at once'));
        calls.push('then');
      });
    });
    expect(await laboratory.committed()).toEqual(['after']);
    expect(calls).toEqual(['at once', 'then']);
  });

  it('of a transaction that is begun in another run in that one', async () => {
    await rejection(
      transactional(db, async () => {
        await laboratory.write('outer');
        await transactional(db, { propagation: 'requires-new' }, () => afterCommit(() => laboratory.write('hook')));
        throw new Error('outer');
      }),
    );
    expect(await laboratory.committed()).toEqual([]);
  });

  it('run in the async context that they were asked for in', async () => {
    const tenant = new AsyncLocalStorage<string>();
    await tenant.run('outer', () =>
      transactional(db, () =>
        tenant.run('inner', () => afterCommit(() => void calls.push(tenant.getStore() ?? 'none'))),
      ),
    );
    expect(calls).toEqual(['inner']);
  });

  it('are those of a rollback when it is rolled back', async () => {
    await rejection(
      transactional(db, async () => {
        both('outer');
        await nested(() => both('inner'));
        throw new Error('rolled back');
      }),
    );
    expect(calls).toEqual(['outer rolled back', 'inner rolled back']);
  });

  it('of a savepoint share its fate, and wait for the end of the whole', async () => {
    await transactional(db, async () => {
      both('outer');
      await rejection(
        nested(async () => {
          both('undone');
          await nested(() => both('within the undone'));
          throw new Error('undone');
        }),
      );
      await nested(() => both('kept'));
      await rejection(
        db.transaction().execute(async () => {
          both('of Kysely');
          await Promise.reject(new Error('undone'));
        }),
      );
      expect(calls).toEqual([]);
    });
    expect(calls).toEqual([
      'outer committed',
      'kept committed',
      'undone rolled back',
      'within the undone rolled back',
      'of Kysely rolled back',
    ]);
  });

  it('of a call that joined and failed stay with the transaction', async () => {
    await transactional(db, async () => {
      await rejection(
        transactional(db, async () => {
          both('inner');
          await Promise.reject(new Error('inner'));
        }),
      );
    });
    expect(calls).toEqual(['inner committed']);
  });

  it('of rollback run when the commit itself fails', async () => {
    await database_deferred();
    const error = await rejection(
      transactional(db, async () => {
        both('it');
        await sql`insert into twice values (1), (1)`.execute(db);
      }),
    );
    expect(error).toMatchObject({ code: '23505' });
    expect(calls).toEqual(['it rolled back']);
  });

  async function database_deferred(): Promise<void> {
    await laboratory.database.query('create table twice (id int unique deferrable initially deferred)');
  }

  it('that throw change nothing: the others run, and the caller gets its result', async () => {
    const failed: HookFailedReport[] = [];
    await using pool = new DatabasePool(
      'orders',
      { url: laboratory.database.url },
      { observer: { hookFailed: (report) => void failed.push(report) } },
    );
    const orders = createKysely<Tables>(pool);
    const result = await transactional(orders, async () => {
      await orders.insertInto('entry').values({ name: 'one' }).execute();
      afterCommit(() => {
        throw new Error('no mail');
      });
      afterCommit(() => Promise.reject(new Error('no event')));
      both('last');
      return 7;
    });
    expect(result).toBe(7);
    expect(calls).toEqual(['last committed']);
    expect(await laboratory.committed()).toEqual(['one']);
    expect(failed).toMatchObject([
      {
        pool: 'orders',
        hook: 'afterCommit',
        error: { message: 'no mail' },
        begunAt: expect.stringMatching(/ends\.spec\.ts/),
      },
      { pool: 'orders', hook: 'afterCommit', error: { message: 'no event' } },
    ]);
    await rejection(transactional(orders, () => Promise.reject(new Error('rolled back'))));
    expect(pool.statistics()).toMatchObject({
      transactions: { committed: 1, 'rolled-back': 1, unknown: 0 },
      transactionHookFailures: 2,
    });
  });

  it('outside a transaction: a commit’s at once, a rollback’s never', () => {
    both('outside');
    expect(calls).toEqual(['outside committed']);
  });

  it('and for the database that they name', async () => {
    await using other = await Laboratory.open({}, { name: 'reports' });
    await transactional(db, () =>
      transactional(other.db, async () => {
        afterCommit(() => void calls.push('innermost'));
        afterCommit(() => void calls.push('default'), { database: 'default' });
        afterCommit(() => void calls.push('reports'), { database: 'reports' });
        afterCommit(() => void calls.push('archive, at once'), { database: 'archive' });
      }).then(() => calls.push('reports are committed')),
    );
    expect(calls).toEqual(['archive, at once', 'innermost', 'reports', 'reports are committed', 'default']);
  });

  it('are refused when they are no functions', () => {
    expect(() => afterCommit(undefined as never)).toThrow(/hook/);
  });
});

describe('what comes after the end', () => {
  const over = { code: 'ERR_POOL_TRANSACTION_OVER' };

  it.each(['resolves', 'rejects'])(
    'of a transaction that %s is refused, and says where that was begun',
    async (how) => {
      let goOn!: () => void;
      let straggler!: Promise<unknown>;
      await transactional(db, async () => {
        await laboratory.write('one');
        straggler = new Promise<void>((resolve) => (goOn = resolve)).then(() => laboratory.write('late'));
        if (how === 'rejects') throw new Error('rolled back');
      }).catch(() => undefined);
      goOn();
      const error = await rejection(straggler);
      expect(error).toMatchObject(over);
      expect(error.message).toMatch(/begun by .*ends\.spec\.ts:\d+/);
      expect(error.message).toMatch(/await/i);
      expect(error.message).toMatch(/withoutTransaction/);
      expect(await laboratory.committed()).toEqual(how === 'rejects' ? [] : ['one']);
    },
  );

  it.each<[string, () => unknown]>([
    ['a query', () => laboratory.write('late')],
    ['raw SQL', () => sql`select 1`.execute(db)],
    ['a stream', () => db.selectFrom('entry').select('name').stream().next()],
    ['db.transaction()', () => db.transaction().execute(() => Promise.resolve())],
    ['db.startTransaction()', () => db.startTransaction().execute()],
    ['db.connection()', () => db.connection().execute((own) => sql`select 1`.execute(own))],
    ['a call that would join', () => transactional(db, () => undefined)],
    ['a savepoint', () => nested(() => undefined)],
    ['a call that must be outside', () => transactional(db, { propagation: 'never' }, () => undefined)],
    ['a hook', () => afterCommit(() => void calls.push('late'))],
  ])('is refused whatever it is: %s', async (_, late) => {
    const straggler = await transactional(db, () => {
      const later = sleep(1).then(late);
      later.catch(() => undefined);
      return [later];
    });
    expect(await rejection(straggler[0]!)).toMatchObject(over);
    expect(calls).toEqual([]);
    expect(await laboratory.committed()).toEqual([]);
  });

  it('runs when it was meant to outlive it', async () => {
    const later = await transactional(db, () => [
      withoutTransaction(() => sleep(1).then(() => laboratory.write('free'))),
      sleep(1).then(() => transactional(db, { propagation: 'requires-new' }, () => laboratory.write('its own'))),
      sleep(1).then(() => transactional(db, { propagation: 'not-supported' }, () => laboratory.write('outside'))),
    ]);
    await Promise.all(later);
    expect(await laboratory.committed()).toEqual(['free', 'its own', 'outside']);
  });

  it('of a savepoint is refused, though the transaction goes on', async () => {
    await transactional(db, async () => {
      const straggler = await nested(() => [rejection(sleep(1).then(() => laboratory.write('late')))]);
      await laboratory.write('one');
      const error = await straggler[0]!;
      expect(error).toMatchObject(over);
      expect(error.message).toMatch(/savepoint/);
    });
    expect(await laboratory.committed()).toEqual(['one']);
  });

  it('is not waited for: a savepoint that nobody awaited is undone', async () => {
    let unfinished!: Promise<unknown>;
    await transactional(db, async () => {
      await laboratory.write('one');
      unfinished = nested(async () => {
        both('unfinished');
        await laboratory.write('half');
        await sleep(20);
        await laboratory.write('other half');
      });
      unfinished.catch(() => undefined);
      await vi.waitFor(() => expect(calls).toEqual([]));
      await sleep(5);
    });
    expect(await laboratory.committed()).toEqual(['one']);
    expect(calls).toEqual(['unfinished rolled back']);
    expect(await rejection(unfinished)).toMatchObject(over);
  });
});

describe('a time limit', () => {
  /** The machine has no other timers of that length. */
  const LIMIT_MS = 54_321;

  /** Resolves when the server sleeps for a statement. */
  async function asleep(): Promise<void> {
    const text = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    await vi.waitFor(async () => expect(await laboratory.database.query(text)).toHaveLength(1));
  }

  /** A machine that is held up for a second while it cancels and rolls back loses no connection for it. */
  function neverLate(): void {
    const usual = globalThis.setTimeout;
    const spy = vi
      .spyOn(globalThis, 'setTimeout')
      .mockImplementation(((...given: Parameters<typeof usual>) =>
        (given as readonly unknown[])[2] === 'late'
          ? usual(given[0], 3_600_000).unref()
          : usual(...given)) as typeof usual);
    onTestFinished(() => spy.mockRestore());
  }

  it('cancels what runs, rolls back, and keeps the connection', async () => {
    const { opened } = laboratory.pool.statistics();
    neverLate();
    const limit = heldTimer(LIMIT_MS);
    const ended = rejection(
      transactional(db, { timeoutMs: LIMIT_MS }, async () => {
        both('it');
        await laboratory.write('one');
        await sql`select pg_sleep(30)`.execute(db);
      }),
    );
    await asleep();
    limit.fire();
    expect(await ended).toMatchObject({
      code: 'ERR_POOL_TRANSACTION_TIMEOUT',
      message: expect.stringContaining(`${LIMIT_MS} ms`) as string,
    });
    expect(calls).toEqual(['it rolled back']);
    expect(await laboratory.committed()).toEqual([]);
    expect(laboratory.pool.statistics()).toMatchObject({ inUse: 0 });
    await laboratory.write('two');
    expect(laboratory.pool.statistics().closed['query-timeout']).toBe(0);
    expect(laboratory.pool.statistics().opened).toBeLessThanOrEqual(opened + 1);
  });

  it('ends what runs no statement, and what that does later is refused', async () => {
    neverLate();
    const limit = heldTimer(LIMIT_MS);
    let goOn!: () => void;
    let straggler!: Promise<unknown>;
    const error = await rejection(
      transactional(db, { timeoutMs: LIMIT_MS }, async () => {
        await laboratory.write('one');
        straggler = new Promise<void>((resolve) => (goOn = resolve)).then(() => laboratory.write('late'));
        limit.fire();
        await straggler;
      }),
    );
    goOn();
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
    expect(await rejection(straggler)).toMatchObject({
      code: 'ERR_POOL_TRANSACTION_OVER',
      cause: { code: 'ERR_POOL_TRANSACTION_TIMEOUT' },
    });
    expect(await laboratory.committed()).toEqual([]);
  });

  it('bounds the wait for a connection', async () => {
    await using small = await Laboratory.open({ size: 1 });
    const client = await small.pool.connect();
    const error = await rejection(transactional(small.db, { timeoutMs: 30 }, () => small.write('one')));
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
    client.release();
    await transactional(small.db, () => small.write('two'));
    expect(await small.committed()).toEqual(['two']);
  });

  it('bounds all tries together', async () => {
    const limit = heldTimer(LIMIT_MS);
    let tries = 0;
    const retry = { attempts: 1_000, baseDelayMs: 10, maxDelayMs: 10 };
    const error = await rejection(
      transactional(db, { timeoutMs: LIMIT_MS, retry }, async () => {
        if (++tries === 3) limit.fire();
        await sql`do $$ begin raise exception using errcode = '40001'; end $$`.execute(db);
      }),
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
    expect(tries).toBe(3);
  });

  it('of a savepoint undoes that alone', async () => {
    neverLate();
    const limit = heldTimer(LIMIT_MS);
    await transactional(db, async () => {
      await laboratory.write('one');
      const ended = rejection(
        transactional(db, { propagation: 'nested', timeoutMs: LIMIT_MS }, async () => {
          await laboratory.write('undone');
          await sql`select pg_sleep(30)`.execute(db);
        }),
      );
      await asleep();
      limit.fire();
      const error = await ended;
      expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
      await laboratory.write('two');
    });
    expect(await laboratory.committed()).toEqual(['one', 'two']);
  });

  it('of a savepoint that waits for its turn lets the next one have it', async () => {
    await transactional(db, async () => {
      const first = nested(async () => {
        await sleep(60);
        await laboratory.write('first');
      });
      const second = rejection(
        transactional(db, { propagation: 'nested', timeoutMs: 10 }, () => laboratory.write('second')),
      );
      const third = nested(() => laboratory.write('third'));
      expect(await second).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
      await Promise.all([first, third]);
    });
    expect(await laboratory.committed()).toEqual(['first', 'third']);
  });

  it('of a call that joined bounds that alone, and what it does later is refused', async () => {
    const limit = heldTimer(LIMIT_MS);
    await transactional(db, async () => {
      await laboratory.write('one');
      let goOn!: () => void;
      let straggler!: Promise<unknown>;
      const error = await rejection(
        transactional(db, { timeoutMs: LIMIT_MS }, async () => {
          await laboratory.write('inner');
          straggler = new Promise<void>((resolve) => (goOn = resolve)).then(() => laboratory.write('late'));
          limit.fire();
          await straggler;
        }),
      );
      goOn();
      expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
      expect(await rejection(straggler)).toMatchObject({ code: 'ERR_POOL_TRANSACTION_OVER' });
      await laboratory.write('two');
    });
    expect(await laboratory.committed()).toEqual(['inner', 'one', 'two']);
  });

  it('of a call that joined cancels what that runs, and with it the whole', async () => {
    neverLate();
    const limit = heldTimer(LIMIT_MS);
    const ended = rejection(
      transactional(db, async () => {
        await rejection(transactional(db, { timeoutMs: LIMIT_MS }, () => sql`select pg_sleep(120)`.execute(db)));
        await laboratory.write('one');
      }),
    );
    await asleep();
    limit.fire();
    expect(await ended).toMatchObject({ code: '25P02' });
  });

  it('never undoes a commit that was asked for', async () => {
    await transactional(db, { timeoutMs: 60_000 }, () => laboratory.write('one'));
    expect(await laboratory.committed()).toEqual(['one']);
  });

  it('gives up a connection that does not answer within a second', async () => {
    const url = new URL(laboratory.database.url);
    await using proxy = await TcpProxy.listen({ port: Number(url.port) });
    url.port = String(proxy.port);
    await using pool = new DatabasePool('silent', { url: url.href, size: 1, maxOverflow: 0 });
    const silent = createKysely<Tables>(pool);
    const limit = heldTimer(LIMIT_MS);
    const error = await rejection(
      transactional(silent, { timeoutMs: LIMIT_MS }, async () => {
        await silent.insertInto('entry').values({ name: 'one' }).execute();
        proxy.blackhole();
        const lost = sql`select 1`.execute(silent);
        limit.fire();
        await lost;
      }),
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
    await proxy.forward();
    await vi.waitFor(() => expect(pool.statistics().closed['query-timeout']).toBe(1));
  });
});

describe('another try', () => {
  it('is made at the outermost level, and the hooks of a failed one are dropped', async () => {
    let tries = 0;
    await transactional(db, { retry: { baseDelayMs: 1 } }, async () => {
      tries++;
      both(`try ${tries}`);
      await laboratory.write(`try ${tries}`);
      await transactional(db, { propagation: 'nested', retry: true }, async () => {
        if (tries < 3) await sql`do $$ begin raise exception using errcode = '40001'; end $$`.execute(db);
      });
    });
    expect(tries).toBe(3);
    expect(calls).toEqual(['try 3 committed']);
    expect(await laboratory.committed()).toEqual(['try 3']);
  });

  it('is not made without being asked for', async () => {
    let tries = 0;
    const failing = transactional(db, async () => {
      tries++;
      both('it');
      await sql`do $$ begin raise exception using errcode = '40001'; end $$`.execute(db);
    });
    expect(await rejection(failing)).toMatchObject({ code: '40001' });
    expect([tries, calls]).toEqual([1, ['it rolled back']]);
  });

  it('has settings of its own, when a function gives them', async () => {
    let given = 0;
    let tries = 0;
    await transactional(db, { retry: { baseDelayMs: 1 }, settings: () => ({ 'app.try': ++given }) }, async () => {
      tries++;
      const { rows } = await sql<{ value: string }>`select current_setting('app.try') as value`.execute(db);
      expect(rows[0]!.value).toBe(String(tries));
      if (tries === 1) await sql`do $$ begin raise exception using errcode = '40P01'; end $$`.execute(db);
    });
    expect(given).toBe(2);
  });
});

describe('a commit of which nobody knows', () => {
  it.each([true, false])('runs hooks of neither kind; it had arrived: %s', async (deliver) => {
    const url = new URL(laboratory.database.url);
    await using proxy = await TcpProxy.listen({ port: Number(url.port) });
    url.port = String(proxy.port);
    await using pool = new DatabasePool('cut', { url: url.href, size: 1, maxOverflow: 0 });
    const cut = createKysely<Tables>(pool);
    await sql`select 1`.execute(cut);
    void proxy.cutWhen({ bytes: 'commit\0', deliver });
    let tries = 0;
    const error = await rejection(
      transactional(cut, { retry: true }, async () => {
        tries++;
        both('it');
        await cut.insertInto('entry').values({ name: 'one' }).execute();
        await rejection(
          transactional(cut, { propagation: 'nested' }, () => {
            both('undone');
            throw new Error('undone');
          }),
        );
      }),
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
    expect(tries).toBe(1);
    expect(calls).toEqual(['undone rolled back']);
    await vi.waitFor(async () => expect(await laboratory.committed()).toEqual(deliver ? ['one'] : []));
  });
});
