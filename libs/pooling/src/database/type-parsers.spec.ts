import { defaults, types, type QueryConfig, type QueryResult } from 'pg';
import { inject } from 'vitest';
import { DatabasePool } from './database-pool.js';
import type { DatabaseOptions } from './options/options.js';

const url = inject('databaseUrl');
const INT4 = 23;
const TEXT = 'select $1::int4 as n, $2::text as name';

function createPool(options: DatabaseOptions = {}): DatabasePool {
  return new DatabasePool('parsers', { url, size: 1, maxOverflow: 0, ...options });
}

async function read(queryable: { query(text: string, values: unknown[]): Promise<QueryResult> }): Promise<unknown> {
  const { rows } = await queryable.query(TEXT, [7, 'seven']);
  return rows[0] as unknown;
}

const parsed = (text: string): unknown => ({ parsed: text });
const AS_USUAL = { n: 7, name: 'seven' };
const PARSED = { n: { parsed: '7' }, name: 'seven' };

describe('a type parser', () => {
  it.each([false, {}])(
    'set on types is used by the next query, and its removal as well (pipelining: %s)',
    async (pipelining) => {
      await using pool = createPool({ pipelining });
      const usual = types.getTypeParser(INT4, 'text') as (text: string) => unknown;
      for (let use = 0; use < 4; use++) expect(await read(pool)).toEqual(AS_USUAL);
      try {
        types.setTypeParser(INT4, parsed);
        for (let use = 0; use < 2; use++) expect(await read(pool)).toEqual(PARSED);
      } finally {
        types.setTypeParser(INT4, usual);
      }
      for (let use = 0; use < 2; use++) expect(await read(pool)).toEqual(AS_USUAL);
    },
  );

  it('set while a query is under way is used by that query, as with pg', async () => {
    await using pool = createPool();
    const usual = types.getTypeParser(INT4, 'text') as (text: string) => unknown;
    for (let use = 0; use < 3; use++) await read(pool);
    const reading = read(pool);
    try {
      types.setTypeParser(INT4, parsed);
      expect(await reading).toEqual(PARSED);
    } finally {
      types.setTypeParser(INT4, usual);
    }
  });

  it('of parseInt8 is used by the next query', async () => {
    await using pool = createPool();
    const count = async (): Promise<unknown> =>
      (await pool.query<{ count: unknown }>('select count(*), array[$1::int8] as all from pg_am', [1])).rows[0]?.count;
    for (let use = 0; use < 3; use++) expect(typeof (await count())).toBe('string');
    try {
      defaults.parseInt8 = true;
      expect(typeof (await count())).toBe('number');
    } finally {
      defaults.parseInt8 = false;
    }
    expect(typeof (await count())).toBe('string');
  });

  it('set on a borrowed client is used there, and gone with its borrower', async () => {
    await using pool = createPool();
    for (let use = 0; use < 3; use++) await read(pool);
    const client = await pool.connect();
    client.setTypeParser(INT4, parsed);
    expect(await read(client)).toEqual(PARSED);
    expect((await client.query<object>('select 7 as n')).rows).toEqual([{ n: { parsed: '7' } }]);
    client.release();
    expect(await read(pool)).toEqual(AS_USUAL);
    expect((await pool.query<object>('select 7 as n')).rows).toEqual([{ n: 7 }]);
    const next = await pool.connect();
    expect(await read(next)).toEqual(AS_USUAL);
    expect(next.getTypeParser(INT4, 'text')).toBe(types.getTypeParser(INT4, 'text'));
    next.release();
    expect(pool.statistics()).toMatchObject({ opened: 1 });
  });

  it('set behind a borrowed client is gone with its borrower, too', async () => {
    await using pool = createPool();
    const client = await pool.connect();
    (client as unknown as { _types: typeof types })._types.setTypeParser(INT4, parsed);
    expect(await read(client)).toEqual(PARSED);
    client.release();
    for (let use = 0; use < 3; use++) expect(await read(pool)).toEqual(AS_USUAL);
  });

  it('set in onConnect is its connection’s, whatever borrowers set', async () => {
    await using pool = createPool({ onConnect: (client) => client.setTypeParser(INT4, parsed) });
    for (let use = 0; use < 3; use++) expect(await read(pool)).toEqual(PARSED);
    await pool.withConnection(async (client) => {
      client.setTypeParser(INT4, (text) => `${text}!`);
      expect(await read(client)).toEqual({ n: '7!', name: 'seven' });
    });
    expect(await read(pool)).toEqual(PARSED);
  });

  it('that its source makes again each time is called each time, and its error is the query’s', async () => {
    let asked = 0;
    const source = {
      setTypeParser: () => undefined,
      getTypeParser: () => {
        const now = ++asked;
        if (now > 20) throw new Error('no parser today');
        return (text: string) => `${text} by ${now}`;
      },
    };
    await using pool = createPool({ connection: { types: source as never } });
    const answers: unknown[] = [];
    for (let use = 0; use < 4; use++) answers.push(await read(pool));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(4);
    asked = 20;
    await expect(read(pool)).rejects.toThrow('no parser today');
    asked = 0;
    expect(await read(pool)).toMatchObject({ name: expect.stringMatching(/^seven by/) as string });
  });
});

describe('the description of the columns', () => {
  it('is each caller’s own', async () => {
    await using pool = createPool();
    const query = async (): Promise<QueryResult> => pool.query(TEXT, [7, 'seven']);
    for (let use = 0; use < 3; use++) await query();
    const [one, other] = [await query(), await query()];
    const untouched = structuredClone(other.fields);
    for (const field of one.fields) Object.assign(field, { name: 'changed', dataTypeID: 0 });
    one.fields.pop();
    expect(structuredClone(other.fields)).toEqual(untouched);
    expect(structuredClone((await query()).fields)).toEqual(untouched);
    const plain = await pool.query({ text: TEXT, values: [7, 'seven'], prepare: false } as QueryConfig);
    expect((await query()).fields).toStrictEqual(plain.fields);
  });
});
