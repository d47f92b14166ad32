/** From the moment COMMIT or ROLLBACK is asked for, nothing more is sent for that transaction. */
import { sql, type Kysely, type Transaction } from 'kysely';
import Cursor from 'pg-cursor';
import pg, { type PoolClient } from 'pg';
import { PoolTransactionError } from '#pooling/core/errors.js';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { isRetriable } from '#pooling/database/kysely/retries.js';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import { mayEndTransaction } from '#pooling/database/connection/transaction-end.js';
import { onBothPools } from '#test/support/both-pools.js';
import { useTestDatabase } from '#test/support/database.js';
import { usePools } from '#test/support/pools.js';

interface Tables {
  ledger: { id: number; transaction: string };
  account: { id: number; balance: number };
}

const database = useTestDatabase(
  'create table ledger (id int, transaction text default txid_current()::text)',
  'create table account (id int primary key, balance int)',
);
beforeEach(() => database.query('truncate ledger, account'));

const poolOf = usePools('ends', () => ({ url: database.url, size: 1, maxOverflow: 0 }));

function createPool(options: DatabaseOptions = {}): { pool: DatabasePool; db: Kysely<Tables> } {
  const pool = poolOf(options);
  return { pool, db: createKysely<Tables>(pool) };
}

const insert = (db: Kysely<Tables>, id: number): Promise<unknown> =>
  db
    .insertInto('ledger')
    .values({ id } as never)
    .execute();
const failing = (db: Kysely<Tables>): Promise<unknown> => sql`select 1/0`.execute(db);
const ledger = (): Promise<{ id: number; transaction: string }[]> => database.query('select * from ledger order by id');

/** What became of promises: `done`, or the code of the error, or its message where it has none. */
async function outcomes(promises: Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) => {
    if (each.status === 'fulfilled') return 'done';
    const { code, message } = each.reason as { code?: string; message: string };
    return code ?? message;
  });
}

/** Kysely's own words, once the end is answered, from 0.28.9 on. */
const OVER = /^(ERR_POOL_TRANSACTION_OVER|Transaction is already (committed|rolled back))$/;

describe('a transaction of which one statement has failed', () => {
  it('takes the others with it, whoever awaits them', async () => {
    const { pool, db } = createPool();
    let inserts: Promise<unknown>[] = [];
    const transaction = db.transaction().execute(async (trx) => {
      const failed = failing(trx);
      inserts = [insert(trx, 1), insert(trx, 2)];
      await Promise.all([failed, ...inserts]);
    });
    await expect(transaction).rejects.toMatchObject({ code: '22012' });
    expect(await outcomes(inserts)).toEqual(['25P02', '25P02']);
    expect(await ledger()).toEqual([]);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0 });
  });

  it('answers what was asked for before, and sends nothing of what is asked for later', async () => {
    const { pool, db } = createPool();
    let before: Promise<unknown>[] = [];
    let later: Promise<unknown> = Promise.resolve();
    const transaction = db.transaction().execute(async (trx) => {
      const failed = failing(trx);
      before = [insert(trx, 1), insert(trx, 2)];
      // Asked for while what was asked for before is being answered, behind the end.
      later = outcomes([before[0] as Promise<unknown>]).then(() => insert(trx, 3));
      later.catch(() => undefined);
      await Promise.all([failed, ...before]);
    });
    await expect(transaction).rejects.toMatchObject({ code: '22012' });
    expect(await outcomes([...before, later])).toEqual(['25P02', '25P02', 'ERR_POOL_TRANSACTION_OVER']);
    expect(await ledger()).toEqual([]);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0 });
  });

  it('gives each of 20 serialisable transfers one row in the ledger, retries included', async () => {
    await database.query('insert into account values (1, 1000), (2, 1000)');
    const { pool, db } = createPool({ size: 8 });
    const transfer = (id: number): Promise<unknown> =>
      retryTransaction(
        db,
        async (trx) => {
          const balances = await trx.selectFrom('account').selectAll().execute();
          const change = (account: number, by: number): Promise<unknown> =>
            trx
              .updateTable('account')
              .set({ balance: (balances.find((each) => each.id === account)?.balance as number) + by })
              .where('id', '=', account)
              .execute();
          await Promise.all([change(1, -1), change(2, 1), insert(trx, id)]);
        },
        { isolationLevel: 'serializable', attempts: 200, baseDelayMs: 1, maxDelayMs: 20 },
      );
    await Promise.all(Array.from({ length: 20 }, (_, id) => transfer(id)));
    expect((await ledger()).map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, id) => id));
    expect(await database.query('select balance from account order by id')).toEqual([
      { balance: 980 },
      { balance: 1020 },
    ]);
    expect(pool.statistics().closed).toMatchObject({ broken: 0, transaction: 0 });
  });
});

describe('a statement that nobody awaits', () => {
  it('is committed with its transaction when it was asked for before the end', async () => {
    const { pool, db } = createPool();
    let forgotten: Promise<unknown>[] = [];
    await db.transaction().execute(async (trx) => {
      forgotten = [1, 2, 3].map((id) => insert(trx, id));
    });
    expect(await outcomes(forgotten)).toEqual(['done', 'done', 'done']);
    const rows = await ledger();
    expect(new Set(rows.map(({ transaction }) => transaction)).size).toBe(1);
    expect(rows.map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(pool.statistics().opened).toBe(1);
  });

  it('fails the commit when it fails, as the server says', async () => {
    const { db } = createPool();
    let forgotten: Promise<unknown>[] = [];
    const transaction = db.transaction().execute(async (trx) => {
      forgotten = [insert(trx, 1), failing(trx)];
      for (const each of forgotten) each.catch(() => undefined);
    });
    expect(await outcomes([transaction])).toEqual(['25P02']);
    expect(await outcomes(forgotten)).toEqual(['done', '22012']);
    expect(await ledger()).toEqual([]);
  });

  type Run = (db: Kysely<Tables>, work: (trx: Transaction<Tables>) => Promise<void>) => Promise<unknown>;

  const controlled = async (
    db: Kysely<Tables>,
    end: 'commit' | 'rollback',
    work: (trx: Transaction<Tables>) => Promise<void>,
  ): Promise<void> => {
    const trx = await db.startTransaction().execute();
    await work(trx);
    await trx[end]().execute();
  };
  const rolledBack = (db: Kysely<Tables>, work: (trx: Transaction<Tables>) => Promise<void>): Promise<unknown> =>
    db
      .transaction()
      .execute(async (trx) => {
        await work(trx);
        throw new Error('rolled back');
      })
      .catch(() => undefined);
  const WAYS: Record<string, { run: Run; rows: boolean }> = {
    'transaction(), committed': { run: (db, work) => db.transaction().execute(work), rows: true },
    'transaction(), rolled back': { run: rolledBack, rows: false },
    'startTransaction(), committed': { run: (db, work) => controlled(db, 'commit', work), rows: true },
    'startTransaction(), rolled back': { run: (db, work) => controlled(db, 'rollback', work), rows: false },
    'connection().transaction(), committed': {
      run: (db, work) => db.connection().execute((conn) => conn.transaction().execute(work)),
      rows: true,
    },
    'connection().transaction(), rolled back, and the connection used on': {
      run: (db, work) =>
        db.connection().execute(async (conn) => {
          await rolledBack(conn, work);
          for (let n = 0; n < 10; n++) await sql`select 1`.execute(conn);
        }),
      rows: false,
    },
    'connection().startTransaction(), committed, and the connection used on': {
      run: (db, work) =>
        db.connection().execute(async (conn) => {
          await controlled(conn, 'commit', work);
          for (let n = 0; n < 10; n++) await sql`select 1`.execute(conn);
        }),
      rows: true,
    },
  };

  it.each(Object.keys(WAYS))('is never sent behind the end of it, whenever it comes: %s', async (name) => {
    const { run, rows } = WAYS[name] as (typeof WAYS)[string];
    const { pool, db } = createPool();
    const pauses: (() => Promise<void>)[] = [
      ...Array.from({ length: 40 }, (_, ticks) => async () => {
        for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
      }),
      ...Array.from({ length: 10 }, (_, turns) => async () => {
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      }),
    ];
    const found: string[] = [];
    for (const [id, pause] of pauses.entries()) {
      let straggler: Promise<unknown> = Promise.resolve();
      await run(db, async (trx) => {
        await insert(trx, id);
        straggler = pause().then(() => insert(trx, id));
        straggler.catch(() => undefined);
      });
      found.push(...(await outcomes([straggler])));
    }
    const refused = found.filter((outcome) => outcome !== 'done');
    for (const outcome of refused) expect(outcome).toMatch(OVER);
    expect(refused).toContain('ERR_POOL_TRANSACTION_OVER');
    const all = await ledger();
    for (const [id, outcome] of found.entries()) {
      const written = all.filter((row) => row.id === id);
      expect(written).toHaveLength(rows ? (outcome === 'done' ? 2 : 1) : 0);
      expect(new Set(written.map(({ transaction }) => transaction)).size).toBe(rows ? 1 : 0);
    }
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, inUse: 0 });
  });

  it('is refused with an error that says so, and that no retry heals', async () => {
    const { db } = createPool();
    let straggler: Promise<unknown> = Promise.resolve();
    let tries = 0;
    await retryTransaction(db, async (trx) => {
      tries++;
      await insert(trx, 1);
      straggler = Promise.resolve()
        .then(() => new Promise((resolve) => setImmediate(resolve)))
        .then(() => insert(trx, 2));
      straggler.catch(() => undefined);
    });
    const error = await straggler.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PoolTransactionError);
    expect(error).toMatchObject({
      code: 'ERR_POOL_TRANSACTION_OVER',
      pool: 'ends',
      message: expect.stringContaining('the statement was not sent'),
    });
    expect([isRetriable(error), tries]).toEqual([false, 1]);
  });

  it('is neither sent after a savepoint’s end nor kept from it: ROLLBACK TO ends no transaction', async () => {
    const { db } = createPool();
    const trx = await db.startTransaction().execute();
    await insert(trx, 1);
    const inner = await trx.savepoint('a').execute();
    await insert(inner, 2);
    await inner.rollbackToSavepoint('a').execute();
    await insert(trx, 3);
    await trx.commit().execute();
    expect((await ledger()).map(({ id }) => id)).toEqual([1, 3]);
    expect(await outcomes([trx.savepoint('b').execute(), insert(trx, 4)])).toEqual([
      expect.stringMatching(OVER),
      expect.stringMatching(OVER),
    ]);
  });

  it('reads its stream to the end before the commit', async () => {
    const { db } = createPool();
    let read = 0;
    let reading: Promise<void> = Promise.resolve();
    await db.transaction().execute(async (trx) => {
      await trx
        .insertInto('ledger')
        .expression(sql`select generate_series(1, 300), 'x'` as never)
        .execute();
      reading = (async () => {
        for await (const _ of trx.selectFrom('ledger').selectAll().stream(10)) read++;
      })();
    });
    await reading;
    expect(read).toBe(300);
  });
});

it('leads the stack of an error in a transaction back to who has asked', async () => {
  const { db } = createPool();
  const ask = async (trx: Kysely<Tables>): Promise<void> => {
    await failing(trx);
  };
  const error = await db
    .transaction()
    .execute(async (trx) => {
      await insert(trx, 1);
      await ask(trx);
    })
    .catch((reason: Error) => reason);
  expect((error as Error).stack).toMatch(/at (async )?ask .*transaction-ends\.spec/);
});

describe('a connection of its own', () => {
  it('runs several transactions, one after the other, and what is between them', async () => {
    const { db } = createPool();
    await db.connection().execute(async (conn) => {
      await conn.transaction().execute((trx) => insert(trx, 1));
      await insert(conn, 2);
      await conn.transaction().execute((trx) => insert(trx, 3));
      const trx = await conn.startTransaction().execute();
      await insert(trx, 4);
      await trx.rollback().execute();
      await insert(conn, 5);
      await conn
        .withPlugin({ transformQuery: ({ node }) => node, transformResult: async ({ result }) => result })
        .transaction()
        .execute((each) => insert(each, 6));
    });
    expect((await ledger()).map(({ id }) => id)).toEqual([1, 2, 3, 5, 6]);
  });
});

describe('a plain client that sends BEGIN and COMMIT itself', () => {
  /** The usual way: on whatever fails roll back, and give back in any case. */
  async function inTransaction(
    pool: DatabasePool,
    end: () => unknown,
    work: (client: PoolClient) => Promise<unknown>,
  ): Promise<void> {
    const client = await pool.connect();
    try {
      await client.query('begin');
      await work(client);
      await client.query(end() as string);
    } catch {
      await client.query('rollback');
    } finally {
      client.release();
    }
  }

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it.each([
    ['commit'],
    ['  /* of the order */ -- and\n COMMIT;'],
    ['-- of the order\rcommit'],
    ['/* of /* the */ order */ commit'],
    [';commit'],
    ['insert into ledger values (7); /* and */ commit'],
    ['insert into ledger values (7); -- and\r\n;commit'],
    ['end'],
    ['rollback'],
    ['abort work'],
    ['insert into ledger values (7); commit'],
    [{ name: 'ending', text: 'commit' }],
    [{ text: 'rollback', values: [] }],
  ])('sends nothing behind %j, and the connection is kept', async (end) => {
    const { pool } = createPool();
    let straggler: Promise<unknown> = Promise.resolve();
    await inTransaction(
      pool,
      () => end,
      async (client) => {
        await client.query('insert into ledger values (1)');
        straggler = turn().then(() => client.query('insert into ledger values (2)'));
        straggler.catch(() => undefined);
      },
    );
    expect(await outcomes([straggler])).toEqual(['ERR_POOL_TRANSACTION_OVER']);
    expect((await ledger()).map(({ id }) => id)).not.toContain(2);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, idle: 1 });
  });

  it('sends nothing of a chain whose neighbour has failed', async () => {
    const { pool } = createPool();
    let chain: Promise<unknown> = Promise.resolve();
    await inTransaction(
      pool,
      () => 'commit',
      async (client) => {
        chain = client.query('select pg_sleep(0)').then(async () => {
          await turn();
          await client.query('insert into ledger values (1)');
        });
        chain.catch(() => undefined);
        await Promise.all([client.query('select 1/0'), chain]);
      },
    );
    expect(await outcomes([chain])).toEqual([
      expect.stringMatching(/^(ERR_POOL_TRANSACTION_OVER|25P02|ERR_POOL_LEASE_RELEASED)$/),
    ]);
    expect(await ledger()).toEqual([]);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1 });
  });

  it('holds back a Query and a cursor as well', async () => {
    const { pool } = createPool();
    const heard: (string | undefined)[] = [];
    const client = await pool.connect();
    await client.query('begin');
    const ended = client.query('commit');
    client.query(
      new pg.Query('insert into ledger values (1)', ((error: { code?: string }) => heard.push(error.code)) as never),
    );
    const cursor = client.query(new Cursor('insert into ledger values (2) returning id'));
    const read = cursor.read(1).catch((error: { code?: string }) => heard.push(error.code));
    await ended;
    client.release();
    await read;
    expect(heard).toEqual(['ERR_POOL_TRANSACTION_OVER', 'ERR_POOL_TRANSACTION_OVER']);
    expect(await ledger()).toEqual([]);
  });

  it('goes on with a client that isn’t given back, in order, as with pg.Pool', async () => {
    const outcome = await onBothPools(database.url, async ({ pool }) => {
      const client = await pool.connect();
      const answers = [
        client.query('begin'),
        client.query('select 1 as n'),
        client.query('commit'),
        client.query('select 2 as n'),
        client.query('begin'),
        client.query('rollback to nowhere'),
        client.query('rollback'),
        client.query('select $1::int as n', [3]),
      ];
      const first = (await Promise.allSettled(answers)).map((each) =>
        each.status === 'fulfilled' ? [each.value.command, each.value.rows] : (each.reason as { code: string }).code,
      );
      await client.query('begin');
      const more = [
        client.query('commit'),
        client.query('select 4 as n'),
        client.query('begin; select 5 as n'),
        client.query('commit'),
        client.query('select 6 as n'),
      ];
      const second = (await Promise.all(more)).flat().map(({ command, rows }) => [command, rows]);
      await client.query('select 7 as n');
      client.release();
      return [first, second];
    });
    expect(outcome.ours).toEqual(outcome.theirs);
    const [first] = outcome.ours as [unknown[]];
    expect(first?.slice(3)).toMatchObject([
      ['SELECT', [{ n: 2 }]],
      ['BEGIN', []],
      '3B001',
      ['ROLLBACK', []],
      ['SELECT', [{ n: 3 }]],
    ]);
  });

  /** Whether another transaction is there after a text, or none. */
  async function endsOnServer(text: string): Promise<boolean> {
    const client = new pg.Client(database.url);
    await client.connect();
    const transaction = async (): Promise<unknown> =>
      (await client.query('select pg_current_xact_id_if_assigned()::text as id')).rows[0];
    try {
      await client.query('begin; create temporary table own (); savepoint a');
      const before = await transaction();
      await client.query(text);
      return JSON.stringify(await transaction()) !== JSON.stringify(before);
    } finally {
      await client.end();
    }
  }

  it.each([
    ['commit', true],
    ['commit and chain', true],
    ['rollback work', true],
    ['abort', true],
    ['end', true],
    ['-- a\rcommit', true],
    ['-- a\r\ncommit', true],
    ['-- a\ncommit', true],
    ['/* a /* b */ c */ commit', true],
    ['; ;commit', true],
    ['select 1; /* a /* b */ c */ commit', true],
    ['select 1 -- ;\r;-- a\rcommit', true],
    ["select 1 as a, '; /*'; commit /* ' */", true],
    ['rollback to a', false],
    ['rollback/**/to a', false],
    ['rollback -- a\r work /* b */ to savepoint a', false],
    ['select 1; rollback /* commit */ to a', false],
    ['release a', false],
    ['-- a\\ncommit', false],
    ['/* a /* b */ commit */ select 1', false],
  ])('knows the end of a transaction as the server does: %j %j', async (text, ends) => {
    expect(await endsOnServer(text)).toBe(ends);
    expect(mayEndTransaction(text)).toBe(ends);
  });

  it('is soon sure of nothing where a text has comments in comments by the thousand', () => {
    const text = `select '${'; /*; --'.repeat(100_000)}'`;
    const begunAt = performance.now();
    expect(mayEndTransaction(text)).toBe(true);
    expect(performance.now() - begunAt).toBeLessThan(5_000);
  });

  it.each([
    [';--\n', '', false],
    [';/**/', '', false],
    [';--\n', 'commit', true],
    [';/**/', '; end', true],
    [';prepare/*', '', true],
    [';prepare--', '', true],
    [';rollback work--', '\n to a', true],
  ])('reads a long text of empty or hidden statements a few times at most: %j … %j', (part, end, ends) => {
    const text = part.repeat(100_000) + end;
    const begunAt = performance.now();
    expect(mayEndTransaction(text)).toBe(ends);
    expect(performance.now() - begunAt).toBeLessThan(5_000);
  });

  it.each([
    ['COMMIT', true],
    ['commit and chain', true],
    ['; -- a\n; /* b */ ; commit', true],
    ['select 1; -- a\n; /* b */ ; rollback', true],
    ['select 1; -- a\n; /* b */ ; rollback to a', false],
    ['select 1; /* ; */ ; -- a\n end', true],
    ["prepare transaction/**/'x'", true],
    ["prepare /* a */ transaction 'x'", true],
    ['prepare a as select 1', false],
    [`select '${';'.repeat(1_000)}'`, false],
    [`select 1${'; '.repeat(1_000)}`, false],
    ["prepare transaction 'x'", true],
    ['rollback work', true],
    ['rollback to savepoint a', false],
    ['ROLLBACK WORK TO a', false],
    ['rollback transaction to savepoint a', false],
    ['release a', false],
    ['commitment', false],
    ['select 1; select 2', false],
    ['select 1;\n  rollback;', true],
    ['select 1; rollback to a', false],
    ['update endings set x = 1', false],
    ['/* commit */ select 1', false],
    ['-- commit', false],
  ])('knows the end of a transaction: %j %j', (text, ends) => {
    expect(mayEndTransaction(text)).toBe(ends);
  });
});
