import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type Kysely, type Transaction } from 'kysely';
import { JoinedConnection } from '#pooling/database/kysely/ambient/joined-connection.js';
import { membershipIn } from '#pooling/database/kysely/ambient/membership.js';
import { withoutTransaction } from '#pooling/database/kysely/ambient/outcome-hooks.js';
import { currentTransaction, transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { prepareQuery } from '#pooling/database/kysely/prepare-query.js';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import { Laboratory, rejection, undone, type Tables } from './laboratory.js';

let laboratory: Laboratory;
let db: Kysely<Tables>;
beforeAll(async () => {
  laboratory = await Laboratory.open();
  ({ db } = laboratory);
});
afterAll(() => laboratory[Symbol.asyncDispose]());
beforeEach(() => laboratory.clear());

const rolledBack = async (fn: () => Promise<unknown>): Promise<void> => {
  const outcome = await rejection(
    transactional(db, async () => {
      await fn();
      throw new Error('rolled back');
    }),
  );
  expect(outcome.message).toBe('rolled back');
};

async function namesWithin(through: Pick<Kysely<Tables>, 'selectFrom'> = db): Promise<string[]> {
  const rows = await through.selectFrom('entry').select('name').orderBy('name').execute();
  return rows.map(({ name }) => name);
}

describe('what is made in the context of a transaction belongs to it', () => {
  const insertPrepared = (): ReturnType<typeof prepareQuery<Tables, { name: string }, unknown>> =>
    prepareQuery(db, (p: { name: string }) => db.insertInto('entry').values({ name: p.name }));

  it.each<[string, () => Promise<unknown>]>([
    ['a builder', () => laboratory.write('one')],
    ['raw SQL', () => sql`insert into entry values ('one')`.execute(db)],
    ['a compiled query', () => db.executeQuery(db.insertInto('entry').values({ name: 'one' }).compile())],
    ['a prepared query', () => insertPrepared().execute({ name: 'one' })],
    ['a Kysely with a schema', () => db.withSchema('public').insertInto('entry').values({ name: 'one' }).execute()],
    ['a Kysely without plugins', () => db.withoutPlugins().insertInto('entry').values({ name: 'one' }).execute()],
    [
      'db.connection()',
      () => db.connection().execute((own) => own.insertInto('entry').values({ name: 'one' }).execute()),
    ],
    ['the Transaction of Kysely', () => currentTransaction(db)!.insertInto('entry').values({ name: 'one' }).execute()],
    [
      'db.transaction()',
      () => db.transaction().execute((own) => own.insertInto('entry').values({ name: 'one' }).execute()),
    ],
    ['the context of db.transaction()', () => db.transaction().execute(() => laboratory.write('one'))],
    [
      'retryTransaction()',
      () => retryTransaction(db, (own) => own.insertInto('entry').values({ name: 'one' }).execute()),
    ],
    [
      'db.startTransaction()',
      async () => {
        const own = await db.startTransaction().execute();
        await own.insertInto('entry').values({ name: 'one' }).execute();
        await own.commit().execute();
      },
    ],
    ['the schema builder', () => db.schema.alterTable('entry').addColumn('gone', 'text').execute()],
  ])('%s', async (_, write) => {
    await rolledBack(async () => {
      const before = await laboratory.transactionId();
      await write();
      expect(await laboratory.transactionId()).toBe(before);
    });
    expect(await laboratory.committed()).toEqual([]);
    expect(
      await laboratory.database.query("select 1 from information_schema.columns where column_name = 'gone'"),
    ).toEqual([]);
    await transactional(db, () => laboratory.write('two'));
    expect(await laboratory.committed()).toEqual(['two']);
  });

  it('a stream', async () => {
    await transactional(db, async () => {
      await laboratory.write('one');
      await laboratory.write('two');
      const seen: string[] = [];
      for await (const { name } of db.selectFrom('entry').select('name').orderBy('name').stream(1)) seen.push(name);
      expect(seen).toEqual(['one', 'two']);
    });
  });

  it('what a timer, a microtask or an emitter starts in it', async () => {
    await rolledBack(async () => {
      await new Promise<void>((resolve, reject) => {
        setTimeout(() => laboratory.write('timer').then(resolve, reject), 1);
      });
      await new Promise<void>((resolve, reject) => {
        queueMicrotask(() => laboratory.write('microtask').then(resolve, reject));
      });
    });
    expect(await laboratory.committed()).toEqual([]);
  });

  it('the pool itself stays below: its queries and clients run outside', async () => {
    await rolledBack(async () => {
      await laboratory.write('inner');
      await laboratory.pool.query("insert into entry values ('pool')");
      await laboratory.pool.withConnection((client) => client.query("insert into entry values ('client')"));
    });
    expect(await laboratory.committed()).toEqual(['client', 'pool']);
  });

  it('requests at the same time have a transaction each', async () => {
    const ids = await Promise.all(
      Array.from({ length: 20 }, () =>
        transactional(db, async () => {
          const id = await laboratory.transactionId();
          await sleep(1);
          return (await laboratory.transactionId()) === id ? id : 'another one';
        }),
      ),
    );
    expect(new Set(ids).size).toBe(20);
  });

  it('nothing is leased or sent for one without a statement', async () => {
    const { acquired } = laboratory.pool.statistics();
    await transactional(db, () => transactional(db, { propagation: 'nested' }, () => Promise.resolve()));
    await rejection(transactional(db, () => Promise.reject(new Error('no statement'))));
    await transactional(db, async () => {
      await db.transaction().execute(() => Promise.resolve());
    });
    expect(laboratory.pool.statistics().acquired).toBe(acquired);
  });

  it('gives back the connection before it resolves, whatever happens', async () => {
    await transactional(db, () => laboratory.write('one'));
    expect(laboratory.pool.statistics().inUse).toBe(0);
    await rejection(transactional(db, () => laboratory.write('one')));
    expect(laboratory.pool.statistics().inUse).toBe(0);
  });

  it('the result of a function that is not async is its result', async () => {
    expect(await transactional(db, () => 7)).toBe(7);
    expect(
      await rejection(
        transactional(db, () => {
          throw new Error('at once');
        }),
      ),
    ).toMatchObject({ message: 'at once' });
  });
});

describe('Kysely’s own transaction within', () => {
  it('is a savepoint: rolled back alone', async () => {
    await transactional(db, async () => {
      await laboratory.write('before');
      await rejection(
        db.transaction().execute(async () => {
          await laboratory.write('inner');
          throw new Error('inner');
        }),
      );
      await rejection(db.transaction().execute(() => laboratory.write('before')));
      await laboratory.write('after');
    });
    expect(await laboratory.committed()).toEqual(['after', 'before']);
  });

  it('that could not be begun undoes nothing, though Kysely 0.28.0 asks for it', async () => {
    await transactional(db, { propagation: 'nested' }, async () => {
      await transactional(db, { propagation: 'nested' }, async () => {
        await laboratory.write('one');
        const present = membershipIn(laboratory.pool)!;
        const joined = new JoinedConnection(present.connectionWithin(present));
        const begun = joined.begin({ isolationLevel: 'serializable' });
        expect(await rejection(begun)).toMatchObject({ code: 'ERR_POOL_TRANSACTION_MISMATCH' });
        await joined.rollback();
        await laboratory.write('two');
      });
    });
    expect(await laboratory.committed()).toEqual(['one', 'two']);
  });

  it('that is controlled takes what is made with it, and the rest goes on beside it', async () => {
    await transactional(db, async () => {
      const own = await db.startTransaction().execute();
      await own.insertInto('entry').values({ name: 'own' }).execute();
      expect(await namesWithin()).toEqual(['own']);
      await own.rollback().execute();
      await laboratory.write('kept');
      const other = await db.startTransaction().execute();
      const savepoint = await other.savepoint('mine').execute();
      await savepoint.insertInto('entry').values({ name: 'undone' }).execute();
      await savepoint.rollbackToSavepoint('mine').execute();
      await other.insertInto('entry').values({ name: 'other' }).execute();
      await other.commit().execute();
    });
    expect(await laboratory.committed()).toEqual(['kept', 'other']);
  });

  it.each([
    [
      'another isolation level',
      () =>
        db
          .transaction()
          .setIsolationLevel('serializable')
          .execute(async () => undefined),
    ],
    [
      'another access mode',
      () =>
        db
          .transaction()
          .setAccessMode('read only')
          .execute(async () => undefined),
    ],
    ['another isolation level, controlled', () => db.startTransaction().setIsolationLevel('serializable').execute()],
  ])('is refused with %s', async (_, begin) => {
    await transactional(db, async () => {
      await laboratory.write('one');
      expect(await rejection(begin())).toMatchObject({ code: 'ERR_POOL_TRANSACTION_MISMATCH' });
      await laboratory.write('two');
    });
    expect(await laboratory.committed()).toEqual(['one', 'two']);
  });

  it('that is there already, with none around, stays its own: what is not made with it is outside', async () => {
    await undone(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('entry').values({ name: 'inner' }).execute();
        expect(currentTransaction(db)).toBeUndefined();
        await laboratory.write('outside');
        throw new Error('rolled back');
      }),
    );
    expect(await laboratory.committed()).toEqual(['outside']);
  });

  it('can not be given to transactional()', async () => {
    await db.transaction().execute(async (transaction) => {
      expect(await rejection(transactional(transaction as Kysely<Tables>, () => undefined))).toMatchObject({
        code: 'ERR_POOL_TRANSACTION_FORBIDDEN',
      });
    });
  });
});

describe('the context decides', () => {
  it('whichever object a statement is made with', async () => {
    await transactional(db, async () => {
      const outer = currentTransaction(db)!;
      await rejection(
        transactional(db, { propagation: 'nested' }, async () => {
          await outer.insertInto('entry').values({ name: 'in the savepoint' }).execute();
          throw new Error('rolled back');
        }),
      );
      let inner!: Transaction<Tables>;
      await db.transaction().execute(async (transaction) => {
        inner = transaction;
        await laboratory.write('inner');
      });
      expect(await namesWithin(outer)).toEqual(['inner']);
      // Before 0.28.3 Kysely doesn't know that it is over: then the context decides.
      const late = await namesWithin(inner).catch((error: Error) => error.message);
      if (typeof late === 'string') expect(late).toMatch(/already committed/);
      else expect(late).toEqual(['inner']);
    });
    expect(await laboratory.committed()).toEqual(['inner']);
  });

  it('unless there is none: then a Transaction of Kysely knows where it belongs', async () => {
    await rolledBack(async () => {
      const transaction = currentTransaction(db)!;
      await withoutTransaction(() => transaction.insertInto('entry').values({ name: 'inside' }).execute());
      expect(await namesWithin()).toEqual(['inside']);
    });
    expect(await laboratory.committed()).toEqual([]);
  });
});

describe('savepoints', () => {
  it('that begin at the same time run one after the other, in the order of their start', async () => {
    const order: string[] = [];
    await transactional(db, async () => {
      const nested = (name: string, fails: boolean): Promise<unknown> =>
        transactional(db, { propagation: 'nested' }, async () => {
          order.push(`${name} begins`);
          await laboratory.write(name);
          await sleep(2);
          order.push(`${name} ends`);
          if (fails) throw new Error(name);
        }).catch(() => undefined);
      await Promise.all([nested('a', false), nested('b', true), nested('c', false)]);
    });
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
    expect(await laboratory.committed()).toEqual(['a', 'c']);
  });

  it('make what is sent around them wait, so that it is not undone with them', async () => {
    await transactional(db, async () => {
      const nested = rejection(
        transactional(db, { propagation: 'nested' }, async () => {
          await laboratory.write('inner');
          await sleep(2);
          throw new Error('inner');
        }),
      );
      await Promise.all([nested, laboratory.write('beside'), laboratory.write('beside too')]);
    });
    expect(await laboratory.committed()).toEqual(['beside', 'beside too']);
  });

  it('heal a statement that failed', async () => {
    await transactional(db, async () => {
      await laboratory.write('one');
      expect(
        await rejection(transactional(db, { propagation: 'nested' }, () => laboratory.write('one'))),
      ).toMatchObject({ code: '23505' });
      await laboratory.write('two');
    });
    expect(await laboratory.committed()).toEqual(['one', 'two']);
  });

  it('fail with what was swallowed in them', async () => {
    await transactional(db, async () => {
      await laboratory.write('one');
      const swallowed = transactional(db, { propagation: 'nested' }, async () => {
        await rejection(laboratory.write('one'));
      });
      expect(await rejection(swallowed)).toMatchObject({ code: '25P02' });
      await laboratory.write('two');
    });
    expect(await laboratory.committed()).toEqual(['one', 'two']);
  });
});

describe('a failing member', () => {
  it('of Promise.all undoes the whole, and the others are heard', async () => {
    const outcomes: Promise<unknown>[] = [];
    const error = await rejection(
      transactional(db, async () => {
        await laboratory.write('taken');
        outcomes.push(...['a', 'taken', 'b', 'c'].map((name) => laboratory.write(name)));
        await Promise.all(outcomes);
      }),
    );
    expect(error).toMatchObject({ code: '23505' });
    const settled = await Promise.allSettled(outcomes);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
    expect(settled[3]).toMatchObject({ reason: { code: '25P02' } });
    expect(await laboratory.committed()).toEqual([]);
  });

  it('that is swallowed makes the commit fail', async () => {
    const error = await rejection(
      transactional(db, async () => {
        await laboratory.write('one');
        await rejection(laboratory.write('one'));
      }),
    );
    expect(error).toMatchObject({ code: '25P02' });
    expect(await laboratory.committed()).toEqual([]);
  });

  it('that nobody awaited, and that was sent before the end, makes the commit fail as well', async () => {
    const error = await rejection(
      transactional(db, async () => {
        await laboratory.write('one');
        laboratory.write('one').catch(() => undefined);
      }),
    );
    expect(error).toMatchObject({ code: '25P02' });
    expect(await laboratory.committed()).toEqual([]);
  });
});

describe('joining', () => {
  it.each([
    [{}, { isolationLevel: 'read committed' }, undefined],
    [{}, { accessMode: 'read write', deferrable: false }, undefined],
    [{ isolationLevel: 'serializable' }, {}, undefined],
    [{ isolationLevel: 'serializable' }, { isolationLevel: 'serializable' }, undefined],
    [{ settings: { 'app.tenant': 'secret 7' } }, { settings: { 'app.tenant': 'secret 7' } }, undefined],
    [{}, { isolationLevel: 'repeatable read' }, /isolationLevel/],
    [{ isolationLevel: 'serializable' }, { isolationLevel: 'read committed' }, /isolationLevel/],
    [{}, { accessMode: 'read only' }, /accessMode/],
    [{}, { deferrable: true }, /deferrable/],
    [{}, { settings: { 'app.tenant': 'secret 7' } }, /app\.tenant/],
    [{ settings: { 'app.tenant': 'secret 7' } }, { settings: { 'app.tenant': 'secret 8' } }, /app\.tenant/],
  ] as const)('%o and then %o', async (outer, inner, refused) => {
    for (const propagation of ['required', 'nested', 'mandatory', 'supports'] as const) {
      const joined = transactional(db, outer, () =>
        transactional(db, { ...inner, propagation }, () => 'joined').catch((error: Error) => error),
      );
      if (refused === undefined) expect(await joined).toBe('joined');
      else {
        const error = (await joined) as Error;
        expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_MISMATCH', message: expect.stringMatching(refused) });
        expect(error.message).not.toMatch(/secret/);
      }
    }
  });
});

describe('how a transaction begins', () => {
  it.each([
    [{ isolationLevel: 'serializable' }, { transaction_isolation: 'serializable' }],
    [{ accessMode: 'read only' }, { transaction_read_only: 'on' }],
    [{ isolationLevel: 'serializable', accessMode: 'read only', deferrable: true }, { transaction_deferrable: 'on' }],
    [
      { settings: { 'app.tenant': "o'neill \\ 7", 'app.on': true } },
      { 'app.tenant': "o'neill \\ 7", 'app.on': 'true' },
    ],
    [{ settings: () => ({ 'app.tenant': 7 }) }, { 'app.tenant': '7' }],
    [{ retry: { isolationLevel: 'repeatable read' } }, { transaction_isolation: 'repeatable read' }],
  ] as const)('%o', async (options, expected) => {
    const seen = await transactional(db, options, async () => {
      const settings: Record<string, string> = {};
      for (const name of Object.keys(expected)) {
        const { rows } = await sql<{ value: string }>`select current_setting(${name}) as value`.execute(db);
        settings[name] = rows[0]!.value;
      }
      return settings;
    });
    expect(seen).toEqual(expected);
    for (const name of Object.keys(expected).filter((each) => each.startsWith('app.'))) {
      const { rows } = await sql<{ value: string | null }>`select current_setting(${name}, true) as value`.execute(db);
      expect(rows[0]!.value ?? '').toBe('');
    }
  });

  it('and fails: its error is the first statement’s, and nothing ran', async () => {
    const outcome = transactional(db, { settings: { 'no such setting': 1 } }, () => laboratory.write('one'));
    expect((await rejection(outcome)).message).toMatch(/no such setting/);
    expect(await laboratory.committed()).toEqual([]);
    expect(laboratory.pool.statistics().inUse).toBe(0);
  });

  it.each([
    [{ propagation: 'sometimes' }, /propagation/],
    [{ timeoutMs: 0 }, /timeoutMs/],
    [{ isolationLevel: 'none' }, /isolationLevel/],
    [{ retries: 3 }, /retries/],
    [{ settings: { 'app.tenant': {} } }, /settings/],
    [{ settings: { 'app.tenant': undefined } }, /settings\.app\.tenant: missing/],
    [{ settings: () => ({ 'app.tenant': undefined }) }, /settings\.app\.tenant: missing/],
    [{ settings: () => undefined }, /settings: missing/],
    [{ settings: () => Promise.resolve({ 'app.tenant': 7 }) }, /settings/],
    [{ propagation: 'never', isolationLevel: 'serializable' }, /isolationLevel/],
    [{ propagation: 'not-supported', timeoutMs: 5 }, /timeoutMs/],
    [{ propagation: 'mandatory', retry: true }, /retry/],
    [{ isolationLevel: 'serializable', retry: { isolationLevel: 'read committed' } }, /retry\.isolationLevel/],
  ])('is refused with %o', async (options, words) => {
    const error = await rejection(transactional(db, options as never, () => undefined));
    expect(error).toMatchObject({ code: 'ERR_POOL_OPTIONS_INVALID', message: expect.stringMatching(words) });
  });
});
