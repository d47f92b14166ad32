import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  sql,
  type CompiledQuery,
  type Compilable,
  type Generated,
  type OrderByItemBuilder,
  type RootOperationNode,
} from 'kysely';
import * as kyselyModule from 'kysely';
import { jsonArrayFrom } from 'kysely/helpers/postgres';
import { SeededRandom } from '#test/support/random.js';
import { CompiledQueryCache } from './compiled-query-cache.js';
import { poolQueryCompilerOn } from './query-compiler.js';

interface Schema {
  person: { id: Generated<number>; name: string; city: string | null; tags: string[]; born: Date };
  pet: { id: Generated<number>; owner: number; kind: string; weight: number };
}

/** A cache that counts its finds. */
class CountingCache extends CompiledQueryCache {
  finds = 0;

  override find(query: RootOperationNode): ReturnType<CompiledQueryCache['find']> {
    const found = super.find(query);
    if (found !== undefined) this.finds++;
    return found;
  }
}

function kysely(cache: CompiledQueryCache): Kysely<Schema> {
  return new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new (poolQueryCompilerOn(kyselyModule))(cache),
    },
  });
}

function expectSame(query: CompiledQuery, expected: CompiledQuery): void {
  expect({ sql: query.sql, parameters: query.parameters, query: query.query }).toEqual({
    sql: expected.sql,
    parameters: expected.parameters,
    query: expected.query,
  });
}

/** Builds a query; `number` gives one below another, by chance. */
type Build = (db: Kysely<Schema>, number: (below: number) => number) => Compilable;

const word = (number: number): string => `word ${number}`;

/** What applications ask, each with values and forms that vary. */
const QUERIES: Readonly<Record<string, Build>> = {
  'by key': (db, number) => {
    const id = number(9);
    return db.selectFrom('person').selectAll().where('id', '=', id);
  },
  'by key, with other columns': (db, number) => {
    const id = number(9);
    return db.selectFrom('person').select(['id', 'name']).where('id', '=', id);
  },
  'by key or its opposite': (db, number) => {
    const [id, operator] = [number(9), number(2) === 0 ? ('=' as const) : ('<>' as const)];
    return db.selectFrom('person').select('id').where('id', operator, id);
  },
  'a condition or none': (db, number) => {
    const [id, sought] = [number(9), number(2) === 0];
    const query = db.selectFrom('person').select('id').where('id', '>', id);
    return sought ? query.where('city', '=', word(id)) : query.where('city', 'is', null);
  },
  'a list': (db, number) => {
    const ids = Array.from({ length: 1 + number(3) }, () => number(9));
    return db.selectFrom('person').select('id').where('id', 'in', ids);
  },
  'a page': (db, number) => {
    const [after, limit, offset] = [number(9), 1 + number(3), number(4)];
    return db.selectFrom('person').select('id').where('id', '>', after).orderBy('id').limit(limit).offset(offset);
  },
  'a limit that is an expression': (db, number) => {
    const limit = number(5);
    return db
      .selectFrom('person')
      .select('id')
      .limit(sql<number>`${limit}::int`);
  },
  'a value that stands in the text': (db, number) => {
    const value = number(3);
    return db
      .selectFrom('person')
      .select(sql.lit(word(value)).as('text'))
      .where('id', '=', sql.lit(value));
  },
  'a moment that stands in the text': (db, number) =>
    db
      .selectFrom('person')
      .select('id')
      .where('born', '<', sql.lit(new Date(number(3) * 1_000))),
  'an order of one kind or another': (db, number) => {
    const kinds = [
      (item: OrderByItemBuilder) => item.asc(),
      (item: OrderByItemBuilder) => item.asc().nullsFirst(),
      (item: OrderByItemBuilder) => item.asc().nullsLast(),
      (item: OrderByItemBuilder) => item.asc().collate('C'),
      (item: OrderByItemBuilder) => item.desc(),
    ];
    return db.selectFrom('person').select('id').orderBy('city', kinds[number(kinds.length)]);
  },
  'a moment that is a parameter': (db, number) => {
    const born = new Date(number(5) * 1_000);
    return db.selectFrom('person').select('id').where('born', '<', born);
  },
  'a value or null': (db, number) => {
    const city = number(2) === 0 ? null : word(number(3));
    return db.updateTable('person').set({ city }).where('id', '=', number(9));
  },
  'raw pieces': (db, number) => {
    const [value, part] = [number(9), sql.raw(number(2) === 0 ? 'upper' : 'lower')];
    return db
      .selectFrom('person')
      .select(sql<string>`${part}(${sql.ref('name')} || ${word(value)})`.as('shouted'))
      .where(sql<boolean>`length(name) > ${value}`);
  },
  'a join with aggregates': (db, number) => {
    const [id, kind] = [number(9), word(number(3))];
    return db
      .selectFrom('person as p')
      .innerJoin('pet as t', (join) => join.onRef('t.owner', '=', 'p.id').on('t.kind', '=', kind))
      .leftJoin('pet as u', 'u.owner', 'p.id')
      .select(({ fn }) => ['p.id', fn.sum('t.weight').as('weight'), fn.countAll().as('pets')])
      .where('p.id', '=', id)
      .groupBy('p.id')
      .having((eb) => eb(eb.fn.countAll(), '>', number(3)))
      .orderBy('weight', number(2) === 0 ? 'asc' : 'desc');
  },
  'a nested answer': (db, number) => {
    const [id, kind] = [number(9), word(number(3))];
    return db
      .selectFrom('person')
      .select((eb) => [
        'id',
        jsonArrayFrom(
          eb.selectFrom('pet').select('kind').whereRef('pet.owner', '=', 'person.id').where('kind', '=', kind),
        ).as('pets'),
      ])
      .where('id', '=', id);
  },
  'conditions in brackets': (db, number) => {
    const [low, high] = [number(5), number(9)];
    return db
      .selectFrom('pet')
      .selectAll()
      .where((eb) => eb.or([eb('weight', '<', low), eb.and([eb('weight', '>', high), eb('kind', '=', word(low))])]))
      .where((eb) => eb.between('id', low, high));
  },
  'a choice by case': (db, number) => {
    const weight = number(9);
    return db
      .selectFrom('pet')
      .select((eb) => eb.case().when('weight', '>', weight).then('big').else('small').end().as('size'));
  },
  'a common table expression': (db, number) => {
    const weight = number(9);
    return db
      .with('heavy', (cte) => cte.selectFrom('pet').select(['owner', 'id']).where('weight', '>', weight))
      .selectFrom('person')
      .innerJoin('heavy', 'heavy.owner', 'person.id')
      .select(['person.id', 'heavy.id as pet']);
  },
  'a union': (db, number) => {
    const [one, other] = [number(9), number(9)];
    return db
      .selectFrom('person')
      .select('id')
      .where('id', '=', one)
      .union(db.selectFrom('pet').select('id').where('id', '=', other));
  },
  'the same value twice': (db, number) => {
    const value = number(9);
    const same = sql<number>`${value}::int`;
    return db.selectFrom('person').select(same.as('one')).where('id', '=', same);
  },
  'an insert': (db, number) => {
    const [name, city] = [word(number(9)), number(2) === 0 ? null : word(number(9))];
    return db
      .insertInto('person')
      .values({ name, city, tags: [name, 'x'], born: new Date(0) })
      .returning('id');
  },
  'an insert of several': (db, number) => {
    const rows = Array.from({ length: 1 + number(3) }, () => ({
      owner: number(9),
      kind: word(number(3)),
      weight: number(9),
    }));
    return db.insertInto('pet').values(rows);
  },
  'an insert with a column left out': (db, number) => {
    const rows = [
      { owner: number(9), kind: 'cat', weight: 1 },
      { id: number(9), owner: number(9), kind: 'dog', weight: 2 },
    ];
    return db.insertInto('pet').values(number(2) === 0 ? rows : rows.toReversed());
  },
  'an insert with an expression': (db, number) => {
    const weight = number(9);
    return db.insertInto('pet').values((eb) => ({
      owner: eb.selectFrom('person').select('id').where('name', '=', word(weight)),
      kind: 'cat',
      weight: eb(eb.val(2), '*', weight),
    }));
  },
  'an insert or an update': (db, number) => {
    const [id, weight] = [number(9), number(9)];
    return db
      .insertInto('pet')
      .values({ id, owner: 1, kind: 'cat', weight })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ weight }).where('pet.weight', '<', weight))
      .returningAll();
  },
  'an update': (db, number) => {
    const [id, by] = [number(9), number(9)];
    return db
      .updateTable('pet')
      .set((eb) => ({ weight: eb('weight', '+', by), kind: word(id) }))
      .where('id', '=', id);
  },
  'an update from another table': (db, number) => {
    const id = number(9);
    return db
      .updateTable('pet')
      .from('person')
      .set({ kind: word(id) })
      .whereRef('pet.owner', '=', 'person.id')
      .where('person.id', '=', id);
  },
  'a delete': (db, number) => {
    const id = number(9);
    return db.deleteFrom('pet').where('id', '=', id).returning('kind');
  },
  'another schema': (db, number) => {
    const [id, schema] = [number(9), number(2) === 0 ? 'here' : 'there'];
    return db.withSchema(schema).selectFrom('person').select('id').where('id', '=', id);
  },
  'a table that is made': (db, number) => db.schema.createTable(`table_${number(3)}`).addColumn('id', 'integer'),
};

/** What isn't kept, because it is never the same or isn't asked often. */
const UNKEPT = new Set(['the same value twice', 'a table that is made', 'a moment that stands in the text']);

/** The same query twice: by a cache that is asked again and again, and as if it were the first ever. */
function compileBoth(
  name: string,
  db: Kysely<Schema>,
  seed: number,
): { query: CompiledQuery; expected: CompiledQuery } {
  const build = (on: Kysely<Schema>): CompiledQuery => {
    const random = new SeededRandom(seed);
    return (QUERIES[name] as Build)(on, (below) => random.between(0, below - 1)).compile();
  };
  return { query: build(db), expected: build(kysely(new CompiledQueryCache())) };
}

it.each(Object.keys(QUERIES))('gives what compiling gives: %s', (name) => {
  const db = kysely(new CompiledQueryCache());
  for (let seed = 1; seed <= 80; seed++) {
    const { query, expected } = compileBoth(name, db, seed);
    expectSame(query, expected);
  }
});

it('gives what compiling gives, whichever queries came before', () => {
  const db = kysely(new CompiledQueryCache());
  const names = Object.keys(QUERIES);
  const random = new SeededRandom(7);
  for (let seed = 1; seed <= 3_000; seed++) {
    const { query, expected } = compileBoth(names[random.between(0, names.length - 1)] as string, db, seed);
    expectSame(query, expected);
  }
});

it('compiles a query twice, whatever its values are then', () => {
  const cache = new CountingCache();
  const db = kysely(cache);
  const finds = Array.from({ length: 5 }, (_, id) => {
    db.selectFrom('person').selectAll().where('id', '=', id).compile();
    return cache.finds;
  });
  expect(finds).toEqual([0, 0, 1, 2, 3]);
});

it('finds each of many queries of one table, and of many tables', () => {
  const cache = new CountingCache();
  const db = kysely(cache);
  const names = Object.keys(QUERIES).filter((name) => !UNKEPT.has(name));
  for (let round = 0; round < 6; round++) for (const name of names) compileBoth(name, db, 1);
  expect(cache.finds).toBe(names.length * 4);
});

it('goes on finding what is asked often among queries that never come back', () => {
  const cache = new CountingCache();
  const db = kysely(cache);
  const often = (): CompiledQuery => db.selectFrom('pet').select('id').where('weight', '>', 1).compile();
  for (let one = 0; one < 2_000; one++) {
    often();
    // As many selections of as many tables: from afar the same query.
    for (let twice = 0; twice < 2; twice++) {
      db.selectFrom('pet').select(sql.lit(one).as('one')).where('weight', '>', 1).compile();
    }
  }
  expect(cache.finds).toBeGreaterThan(1_900);
});

it('takes dates, lists and objects as they are', () => {
  const db = kysely(new CompiledQueryCache());
  const born = [new Date(1), new Date(2), new Date(3), new Date(4)];
  const compiled = born.map((date) => db.selectFrom('person').select('id').where('born', '=', date).compile());
  expect(compiled.map(({ parameters }) => parameters[0])).toEqual(born);
  const tags = [['a'], ['b', 'c'], [], ['d']];
  const updates = tags.map((list) => db.updateTable('person').set({ tags: list }).compile());
  expect(updates.map(({ parameters }) => parameters[0])).toEqual(tags);
});
