import { sql, type Kysely, type Transaction } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { urlAt, useTestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { add, commitHeld, GATED_COMMIT, type GatedSchema } from '#test/support/gated-commit.js';
import { usePools } from '#test/support/pools.js';
import { ManualClock } from '../../testing/manual-clock.js';
import type { DatabasePool } from '../database-pool.js';
import { transactional } from '../kysely/ambient/transactional.js';
import { batch } from '../kysely/batch.js';
import { createKysely } from '../kysely/kysely.js';
import type { DatabaseOptions } from '../options/options.js';
import { HandingOn } from './handing-on.js';

const database = useTestDatabase(...GATED_COMMIT);
const createPool = usePools('handing on', () => ({
  url: database.url,
  size: 1,
  maxOverflow: 0,
  applicationName: 'handed on',
}));

afterEach(async () => void (await database.query('truncate item')));

/** Its time stands still, so that no `COMMIT` is late. */
function create(options: DatabaseOptions = {}): { pool: DatabasePool; db: Kysely<GatedSchema>; clock: ManualClock } {
  const clock = new ManualClock();
  const pool = createPool(options, { clock });
  return { pool, db: createKysely<GatedSchema>(pool), clock };
}

const addInTransaction = (db: Kysely<GatedSchema>, name: string, gate?: Gate): Promise<void> =>
  db.transaction().execute(async (transaction) => void (await add(transaction, name, gate)));

const names = async (): Promise<string[]> =>
  (await database.query<{ name: string }>('select name from item order by id')).map(({ name }) => name);

/** The server ends what the pool has opened. */
const endConnections = (): Promise<unknown> =>
  database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'handed on'`,
  );

/** What is settled by now. */
function watch(promise: Promise<unknown>): { readonly settled: boolean } {
  const watched = { settled: false };
  const settle = (): void => void (watched.settled = true);
  promise.then(settle, settle);
  return watched;
}

describe('a connection whose COMMIT was sent', () => {
  it('goes to who waits for it, whose statements are answered behind the COMMIT', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const { first, second } = await commitHeld({ pool, db }, gate, () => addInTransaction(db, 'second'));
    const unanswered = [watch(first), watch(second)];
    expect(pool.statistics()).toMatchObject({ waiting: 0, inUse: 1, acquired: 2, released: 1 });
    expect(unanswered).toEqual([{ settled: false }, { settled: false }]);
    await gate.open();
    await Promise.all([first, second]);
    expect(await names()).toEqual(['first', 'second']);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0, acquired: 2, released: 2 });
  });

  it('keeps its prepared statements, where the transaction has changed nothing of how texts are read', async () => {
    const { pool, db } = create();
    for (let times = 0; times < 3; times++) await addInTransaction(db, 'before');
    const { preparedStatementMisses, acquired } = pool.statistics();
    await Promise.all(Array.from({ length: 20 }, (_, n) => addInTransaction(db, `together ${n}`)));
    expect(pool.statistics()).toMatchObject({ preparedStatementMisses, acquired: acquired + 20, opened: 1 });
  });

  it('is held by who comes next, who is in no transaction and runs nothing of the one before', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    let goOn!: () => void;
    const going = new Promise<void>((resolve) => (goOn = resolve));
    const { first, second } = await commitHeld({ pool, db }, gate, () =>
      db.transaction().execute(async (transaction) => {
        await going;
        await add(transaction, 'second');
        expect(pool.holders()).toMatchObject([{ inTransaction: true, active: false, statements: 1 }]);
      }),
    );
    const [idle] = pool.holders();
    goOn();
    expect(idle).toMatchObject({ inTransaction: false, active: false });
    expect(idle).not.toHaveProperty('statement');
    expect(idle).not.toHaveProperty('statements');
    await vi.waitFor(() => expect(pool.holders()).toMatchObject([{ inTransaction: false, active: true }]));
    expect(pool.holders()[0]?.statement).toContain('insert into');
    await gate.open();
    await Promise.all([first, second]);
    expect(pool.holders()).toEqual([]);
  });

  it.each<[string, (db: Kysely<GatedSchema>) => Promise<unknown>]>([
    [
      'statements asked for at once',
      (db) =>
        db
          .transaction()
          .execute((transaction) => Promise.all([add(transaction, 'second'), add(transaction, 'second')])),
    ],
    [
      'a transaction with settings',
      (db) =>
        db
          .transaction()
          .setIsolationLevel('serializable')
          .execute((transaction) => add(transaction, 'second')),
    ],
    ['db.connection()', (db) => db.connection().execute((connection) => add(connection, 'second'))],
    [
      'a transaction within db.connection()',
      (db) => db.connection().execute((connection) => addInTransaction(connection, 'second')),
    ],
    [
      'a controlled transaction',
      async (db) => {
        const transaction = await db.startTransaction().execute();
        await add(transaction, 'second');
        await transaction.commit().execute();
      },
    ],
    [
      'a stream',
      async (db) => {
        for await (const row of db.selectFrom('item').select('name').stream()) expect(row).toEqual({ name: 'first' });
        await add(db, 'second');
      },
    ],
    [
      'a savepoint first of all',
      (db) =>
        db.transaction().execute(async (transaction) => {
          await sql`savepoint a`.execute(transaction);
          await add(transaction, 'second');
        }),
    ],
  ])('serves %s', async (_, run) => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const { first, second } = await commitHeld({ pool, db }, gate, () => run(db));
    expect(pool.statistics().waiting).toBe(0);
    await gate.open();
    await Promise.all([first, second]);
    expect(new Set(await names())).toEqual(new Set(['first', 'second']));
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0 });
  });

  it('tells a COMMIT that is refused to its own caller alone', async () => {
    const { pool, db } = create();
    let second!: Promise<void>;
    const first = db.transaction().execute(async (transaction) => {
      await add(transaction, 'refused');
      second = addInTransaction(db, 'second');
      await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
    });
    await expect(first).rejects.toMatchObject({ code: '23514' });
    await second;
    expect(await names()).toEqual(['second']);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0, acquired: 2, released: 2 });
  });

  it('stays with its borrower while nobody waits', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const first = addInTransaction(db, 'first', gate);
    await gate.waitedAt();
    expect(pool.statistics()).toMatchObject({ acquired: 1, released: 0 });
    const second = addInTransaction(db, 'second');
    await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
    await gate.open();
    await Promise.all([first, second]);
    expect(await names()).toEqual(['first', 'second']);
  });

  it.each<[string, DatabaseOptions, (db: Kysely<GatedSchema>, pool: DatabasePool) => Promise<unknown>]>([
    [
      'to who gets a client of pg',
      {},
      async (_, pool) => {
        const client = await pool.connect();
        expect(client.getTransactionStatus?.()).toBe('I');
        client.release();
      },
    ],
    ['to a single query, which can only be sent once', {}, (db) => add(db, 'second')],
    [
      'to a query that shares its connection',
      { pipelining: { depth: 4 } },
      async (_, pool) => void (await pool.query('select $1::int', [1])),
    ],
    [
      'to a batch, whose own COMMIT is sent at once',
      {},
      (db) => batch(db, [db.insertInto('item').values({ name: 'second', gate: null })]),
    ],
    ['where a hook runs at each acquire', { onAcquire: () => undefined }, (db) => addInTransaction(db, 'second')],
    ['where the session is reset between two borrowers', { reset: 'discard' }, (db) => addInTransaction(db, 'second')],
    ['where it has served for long enough', { maxUses: 1 }, (db) => addInTransaction(db, 'second')],
  ])('is not handed on %s', async (_, options, run) => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create(options);
    const { first, second } = await commitHeld({ pool, db }, gate, () => run(db, pool));
    expect(pool.statistics()).toMatchObject({ waiting: 1, released: 0 });
    await gate.open();
    await Promise.all([first, second]);
  });

  it('is not handed on to anybody where others hear of each release', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const released = vi.fn<() => void>();
    pool.on('release', released);
    const { first, second } = await commitHeld({ pool, db }, gate, () => addInTransaction(db, 'second'));
    expect(pool.statistics().waiting).toBe(1);
    expect(released).not.toHaveBeenCalled();
    await gate.open();
    await Promise.all([first, second]);
    expect(released).toHaveBeenCalledTimes(2);
  });

  it('stays with db.connection() that goes on after its transaction', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    let second!: Promise<void>;
    const first = db.connection().execute(async (connection) => {
      await connection.transaction().execute(async (transaction) => {
        await add(transaction, 'first', gate);
        second = addInTransaction(db, 'second');
        await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
      });
      await add(connection, 'first, after its transaction');
    });
    await gate.waitedAt();
    expect(pool.statistics()).toMatchObject({ waiting: 1, released: 0 });
    await gate.open();
    await Promise.all([first, second]);
    expect(await names()).toEqual(['first', 'first, after its transaction', 'second']);
  });

  it('refuses statements of its last borrower, as after any end', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    let escaped!: Transaction<GatedSchema>;
    let second!: Promise<void>;
    const first = db.transaction().execute(async (transaction) => {
      escaped = transaction;
      await add(transaction, 'first', gate);
      second = addInTransaction(db, 'second');
      await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
    });
    await gate.waitedAt();
    await expect(add(escaped, 'too late')).rejects.toMatchObject({ code: 'ERR_POOL_TRANSACTION_OVER' });
    await gate.open();
    await Promise.all([first, second]);
    expect(await names()).toEqual(['first', 'second']);
  });
});

describe('who has a connection with a COMMIT ahead', () => {
  it('may give it back without having sent anything', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db, clock } = create({ queryTimeoutMs: 0 });
    const { first, second } = await commitHeld({ pool, db }, gate, () =>
      db.transaction().execute(() => Promise.resolve()),
    );
    await second;
    // Longer than a reset may take.
    await clock.advance(600_000);
    expect(pool.statistics()).toMatchObject({ inUse: 1, size: 1 });
    await gate.open();
    await first;
    await addInTransaction(db, 'third');
    expect(await names()).toEqual(['first', 'third']);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0 });
  });

  it('may give up without harm to the COMMIT', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const { first, second } = await commitHeld({ pool, db }, gate, () =>
      transactional(db, { timeoutMs: 50 }, () => add(db, 'given up')),
    );
    await expect(second).rejects.toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
    await gate.open();
    await first;
    expect(await names()).toEqual(['first']);
    await addInTransaction(db, 'third');
    expect(await names()).toContain('third');
    expect(pool.statistics()).toMatchObject({ opened: 2, size: 1, inUse: 0 });
  });

  it('fails with it when the COMMIT takes too long', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db, clock } = create({ queryTimeoutMs: 5_000 });
    const { first, second } = await commitHeld({ pool, db }, gate, () => addInTransaction(db, 'second'));
    await clock.advance(5_000);
    await expect(first).rejects.toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
    await expect(second).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
    await gate.open();
    await addInTransaction(db, 'third');
    expect(await names()).toContain('third');
    expect(pool.statistics()).toMatchObject({ size: 1, inUse: 0 });
  });

  it.each<[string, (proxy: TcpProxy) => Promise<unknown>]>([
    ['ends it', () => endConnections()],
    ['is cut off', async (proxy) => void proxy.cut('rst')],
  ])('begins again on another connection when the server %s', async (_, lose) => {
    await using gate = await Gate.closed(database.url);
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const { pool, db } = create({ url: urlAt(database.url, proxy.port) });
    const runs = vi.fn<() => void>();
    const { first, second } = await commitHeld({ pool, db }, gate, () =>
      db.transaction().execute(async (transaction) => {
        runs();
        await Promise.all([add(transaction, 'second'), add(transaction, 'third')]);
        await add(transaction, 'fourth');
      }),
    );
    await lose(proxy);
    await expect(first).rejects.toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
    await second;
    expect(runs).toHaveBeenCalledTimes(1);
    expect((await names()).filter((name) => name !== 'first')).toEqual(['second', 'third', 'fourth']);
    expect(pool.statistics()).toMatchObject({ opened: 2, size: 1, inUse: 0 });
  });

  it('is begun once more only while none of its statements has an answer', async () => {
    const { pool, db } = create();
    const lost = db.transaction().execute(async (transaction) => {
      await add(transaction, 'first');
      await endConnections();
      await vi.waitFor(() => expect(pool.holders()[0]?.lost).toBe(true));
      await add(transaction, 'second');
    });
    await expect(lost).rejects.toThrow(/connection (is|was) lost/);
    await db.transaction().execute(async (transaction) => {
      await endConnections();
      await vi.waitFor(() => expect(pool.holders()[0]?.lost).toBe(true));
      await add(transaction, 'third');
    });
    expect(await names()).toEqual(['third']);
    expect(pool.statistics()).toMatchObject({ size: 1, inUse: 0 });
  });

  it('is waited for at the end of the pool, as is the COMMIT', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const { first, second } = await commitHeld({ pool, db }, gate, () => addInTransaction(db, 'second'));
    const closed = pool.close({ deadlineMs: 60_000 });
    await gate.open();
    await Promise.all([first, second]);
    expect(await closed).toMatchObject({ graceful: true });
    expect(await names()).toEqual(['first', 'second']);
  });
});

describe('HandingOn', () => {
  it('allows it after a short transaction', () => {
    const handingOn = new HandingOn(new ManualClock());
    expect(handingOn.allows(0)).toBe(true);
    expect(handingOn.allows(999)).toBe(true);
    expect(handingOn.allows(1_000)).toBe(false);
  });

  it('rests for a second after a COMMIT that was late', async () => {
    const clock = new ManualClock();
    const handingOn = new HandingOn(clock);
    for (let commit = 0; commit < 20; commit++) {
      const sentAt = clock.now();
      await clock.advance(5);
      handingOn.answered(sentAt);
    }
    expect(handingOn.allows(0)).toBe(true);
    const sentAt = clock.now();
    await clock.advance(71);
    handingOn.answered(sentAt);
    expect(handingOn.allows(0)).toBe(false);
    await clock.advance(999);
    expect(handingOn.allows(0)).toBe(false);
    await clock.advance(1);
    expect(handingOn.allows(0)).toBe(true);
  });

  it('learns nothing of a COMMIT that was lost before it was sent', async () => {
    const clock = new ManualClock();
    const handingOn = new HandingOn(clock);
    handingOn.answered(Infinity);
    for (const tookMs of [5, 500]) {
      const sentAt = clock.now();
      await clock.advance(tookMs);
      handingOn.answered(sentAt);
    }
    expect(handingOn.allows(0)).toBe(false);
  });

  it('takes for usual what has become usual', async () => {
    const clock = new ManualClock();
    const handingOn = new HandingOn(clock);
    for (let commit = 0; commit < 100; commit++) {
      const sentAt = clock.now();
      await clock.advance(commit < 10 ? 1 : 200);
      handingOn.answered(sentAt);
    }
    expect(handingOn.allows(0)).toBe(true);
  });
});
