import { inject } from 'vitest';
import { DatabasePool } from '../database-pool.js';
import { createKysely } from './kysely.js';
import { prepareQuery } from './prepare-query.js';

interface Tables {
  kept: { id: number; name: string | null };
}

describe('prepareQuery', () => {
  let pool: DatabasePool;

  beforeEach(async () => {
    pool = new DatabasePool('kept', { url: inject('databaseUrl'), size: 1, maxOverflow: 0 });
    await pool.query('create temp table kept (id int, name text)');
  });

  afterEach(() => pool.close());

  it('compiles once and binds the parameters of each call', async () => {
    const db = createKysely<Tables>(pool);
    let builds = 0;
    const insert = prepareQuery(db, (p: { id: number; name: string | null }) => {
      builds++;
      return db.insertInto('kept').values({ id: p.id, name: p.name }).returning('id');
    });
    const select = prepareQuery(db, (p: { id: number }) =>
      db.selectFrom('kept').selectAll().where('id', '=', p.id).where('name', 'is not', null).limit(5),
    );
    for (const [id, name] of [
      [1, 'one'],
      [2, null],
      [3, 'three'],
    ] as const) {
      expect(await insert.execute({ id, name })).toEqual([{ id }]);
    }
    expect(builds).toBe(1);
    expect(await select.executeTakeFirst({ id: 1 })).toEqual({ id: 1, name: 'one' });
    expect(await select.executeTakeFirst({ id: 2 })).toBeUndefined();
    expect(await select.execute({ id: 3 })).toEqual([{ id: 3, name: 'three' }]);
  });

  it('lets plugins know each result’s query, in a transaction as well', async () => {
    const kinds = new WeakMap<object, string>();
    const db = createKysely<Tables>(pool, {
      plugins: [
        {
          transformQuery: ({ node, queryId }) => {
            kinds.set(queryId, node.kind);
            return node;
          },
          transformResult: async ({ result, queryId }) => ({ ...result, rows: [{ kind: kinds.get(queryId) }] }),
        },
      ],
    });
    const kindOf = (each: typeof db) =>
      prepareQuery(each, (p: { id: number }) => each.selectFrom('kept').selectAll().where('id', '=', p.id));
    expect(await kindOf(db).execute({ id: 1 })).toEqual([{ kind: 'SelectQueryNode' }]);
    const inTransaction = await db.transaction().execute((transaction) => kindOf(transaction).execute({ id: 1 }));
    expect(inTransaction).toEqual([{ kind: 'SelectQueryNode' }]);
  });

  it('takes what every object has by the name of a parameter for no value', async () => {
    const db = createKysely<Tables>(pool);
    for (const name of ['toString', 'constructor', '__proto__']) {
      const byName = prepareQuery(db, (p: Record<string, string>) =>
        db.selectNoFrom(({ cast, val }) => cast<string>(val(p[name]), 'text').as('value')),
      );
      await expect(byName.execute({})).rejects.toThrow(`the parameter ${name} of a prepared query was not given`);
      const given = JSON.parse(`{"${name}":"own"}`) as Record<string, string>;
      expect(await byName.execute(given)).toEqual([{ value: 'own' }]);
    }
  });

  it('refuses to send a query without one of its parameters', async () => {
    const db = createKysely<Tables>(pool);
    const select = prepareQuery(db, (p: { id: number }) => db.selectFrom('kept').selectAll().where('id', '=', p.id));
    await expect(select.execute({} as { id: number })).rejects.toThrow('the parameter id');
  });
});
