/** Whatever is asked for at once in a transaction comes to what it would come to one by one. */
import fc from 'fast-check';
import { sql, type ControlledTransaction, type Kysely } from 'kysely';
import pg from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { useTestDatabase } from '#test/support/database.js';

interface Tables {
  entry: { id: number; name: string };
}

type Step =
  | { readonly kind: 'insert' | 'select' | 'bad value'; readonly id: number }
  | { readonly kind: 'savepoint' | 'rollback to' | 'release'; readonly name: 'a' | 'b'; readonly raw: boolean }
  | { readonly kind: 'error' | 'several' | 'stream' | 'setting' };

interface Program {
  /** What is asked for at once, and awaited before what comes next. */
  readonly groups: readonly (readonly Step[])[];
  readonly end: 'commit' | 'rollback';
}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('insert', 'select', 'bad value'),
      id: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('savepoint', 'rollback to', 'release'),
      name: fc.constantFrom('a', 'b'),
      raw: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('error', 'several', 'stream', 'setting') }) },
) as fc.Arbitrary<Step>;

const program: fc.Arbitrary<Program> = fc.record({
  groups: fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 }),
  end: fc.constantFrom('commit', 'rollback'),
});

/** A statement's text and values, for both sides. */
function textOf(one: Step): { text: string; values: unknown[] } {
  switch (one.kind) {
    case 'insert':
      return { text: "insert into entry values ($1, 'x') returning id", values: [one.id] };
    case 'select':
      return { text: 'select id, name from entry where id <= $1 order by id', values: [one.id] };
    case 'bad value':
      return { text: 'select $1::int as id', values: [`no ${one.id}`] };
    case 'error':
      return { text: 'select 1/0', values: [] };
    case 'several':
      return {
        text: "insert into entry values (9, 'y') on conflict do nothing; select count(*)::int from entry",
        values: [],
      };
    case 'stream':
      return { text: 'select id from entry order by id', values: [] };
    case 'setting':
      return { text: "select set_config('search_path', 'public', true)", values: [] };
    default:
      return { text: `${one.kind} ${one.name}`, values: [] };
  }
}

const codeOf = (error: unknown): unknown => (error as { code?: string }).code ?? (error as Error).message;

const database = useTestDatabase('create table entry (id int primary key, name text)');

/** One by one, over a plain client. */
async function oneByOne(client: pg.Client, { groups, end }: Program): Promise<unknown[]> {
  const results: unknown[] = [];
  await client.query('begin');
  for (const one of groups.flat()) {
    const { text, values } = textOf(one);
    try {
      const answer = await client.query(text, values);
      results.push(Array.isArray(answer) ? (answer as pg.QueryResult[]).at(-1)?.rows : answer.rows);
    } catch (error) {
      results.push(codeOf(error));
    }
  }
  const { command } = await client.query(end);
  return [...results, command];
}

function run(trx: ControlledTransaction<Tables>, one: Step): Promise<unknown> {
  const { text, values } = textOf(one);
  const savepoints = trx as unknown as Record<string, (name: string) => { execute(): Promise<unknown> }>;
  switch (one.kind) {
    case 'stream':
      return (async () => {
        const rows: unknown[] = [];
        for await (const row of trx.selectFrom('entry').select('id').orderBy('id').stream(2)) rows.push(row);
        return rows;
      })();
    case 'savepoint':
    case 'rollback to':
    case 'release': {
      if (one.raw) break;
      const method = { savepoint: 'savepoint', 'rollback to': 'rollbackToSavepoint', release: 'releaseSavepoint' }[
        one.kind
      ];
      return (async () => {
        await (savepoints[method] as (name: string) => { execute(): Promise<unknown> }).call(trx, one.name).execute();
        return [];
      })();
    }
    default:
  }
  const parts = text.split('$1');
  const query =
    parts.length === 1 ? sql.raw(text) : sql`${sql.raw(parts[0] as string)}${values[0]}${sql.raw(parts[1] as string)}`;
  return query.execute(trx).then(
    ({ rows }) => rows,
    (error: unknown) => Promise.reject(error as Error),
  );
}

/** Each group at once. */
async function atOnce(db: Kysely<Tables>, { groups, end }: Program): Promise<unknown[]> {
  const results: unknown[] = [];
  const trx = await db.startTransaction().execute();
  for (const group of groups) {
    const settled = await Promise.allSettled(group.map((one) => run(trx, one)));
    for (const each of settled) results.push(each.status === 'fulfilled' ? each.value : codeOf(each.reason));
  }
  const ended = await trx[end]()
    .execute()
    .then(
      () => end.toUpperCase(),
      (error: unknown) => (codeOf(error) === '25P02' ? 'ROLLBACK' : codeOf(error)),
    );
  return [...results, ended];
}

/** What several statements in one text give differs between Kysely and pg, and isn't the matter here. */
function comparable(results: unknown[], { groups }: Program): unknown[] {
  const steps = groups.flat();
  return results.map((result, at) => (steps[at]?.kind === 'several' && typeof result !== 'string' ? 'done' : result));
}

const WAYS: Record<string, DatabaseOptions> = {
  'with prepared statements': {},
  'without prepared statements': { preparedStatements: false },
};

it.each(Object.keys(WAYS))(
  '%s: results, errors and rows are those of one statement after the other',
  async (way) => {
    await using pool = new DatabasePool('order', { url: database.url, size: 1, maxOverflow: 0, ...WAYS[way] });
    const db = createKysely<Tables>(pool);
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const content = async (): Promise<unknown> => (await client.query('select id from entry order by id')).rows;
    try {
      await fc.assert(
        fc.asyncProperty(program, async (given) => {
          await client.query('truncate entry');
          const expected = [...comparable(await oneByOne(client, given), given), await content()];
          await client.query('truncate entry');
          const { opened } = pool.statistics();
          const found = [...comparable(await atOnce(db, given), given), await content()];
          expect(found).toEqual(expected);
          expect(pool.statistics()).toMatchObject({ opened: Math.max(1, opened), inUse: 0, transactionsLeftOpen: 0 });
        }),
        // What failed may have left its traces on the connection: a smaller case would fail for another reason.
        { numRuns: 100, endOnFailure: true },
      );
    } finally {
      await client.end();
    }
  },
  60_000,
);
