import { sql } from 'kysely';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { DatabasePool } from './database-pool.js';
import { createKysely } from './kysely/kysely.js';
import { isRetriable } from './kysely/retries.js';
import { retryTransaction } from './kysely/retry-transaction.js';
import { endsConnection } from './server-errors.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query(
    `create function fails(code text) returns int language plpgsql as
     $$ begin raise exception 'the remote is down' using errcode = code; end $$`,
  );
});
afterAll(() => database.drop());

function createPool(): DatabasePool {
  const pool = new DatabasePool('errors', { url: database.url, size: 1, maxOverflow: 0 });
  onTestFinished(() => void pool.close());
  return pool;
}

/** Codes of lost connections, of a foreign data wrapper's, of a dblink's, of a parallel worker's. */
const CODES = ['08000', '08001', '08003', '08006', '08P01', '57P01', '57P02', '57P03', '57P05', '25P03', '25P04'];

describe('an error of severity ERROR', () => {
  it.each(CODES)('with the code %s leaves the connection as it is', async (code) => {
    const pool = createPool();
    for (let use = 0; use < 4; use++)
      await expect(pool.query('select fails($1)', [code])).rejects.toMatchObject({ code });
    await expect(pool.query(`select fails('${code}')`)).rejects.toMatchObject({ code, severity: 'ERROR' });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 1, connectErrors: 0 });
  });

  it.each(CODES)('with the code %s lets a transaction go back to its savepoint', async (code) => {
    const pool = createPool();
    const db = createKysely<Record<string, never>>(pool);
    const transaction = await db.startTransaction().execute();
    const savepoint = await transaction.savepoint('before').execute();
    await expect(sql`select fails(${code})`.execute(savepoint)).rejects.toMatchObject({ code });
    const back = await savepoint.rollbackToSavepoint('before').execute();
    expect((await sql`select 1 as one`.execute(back)).rows).toEqual([{ one: 1 }]);
    await back.commit().execute();
    expect(pool.statistics().opened).toBe(1);
  });

  it.each(CODES)('with the code %s is no reason to run a transaction again', async (code) => {
    const pool = createPool();
    let runs = 0;
    const failing = retryTransaction(createKysely<Record<string, never>>(pool), async (transaction) => {
      runs++;
      await sql`select fails(${code})`.execute(transaction);
    });
    await expect(failing).rejects.toMatchObject({ code });
    expect(runs).toBe(1);
  });

  it('is what a wrong number of parameters gives (08P01), and costs no dial', async () => {
    const pool = createPool();
    for (let use = 0; use < 4; use++) {
      await expect(pool.query('select $1::int, $2::int', [1])).rejects.toMatchObject({ code: '08P01' });
    }
    expect(pool.statistics().opened).toBe(1);
  });
});

describe('endsConnection', () => {
  it.each([
    [{ severity: 'FATAL', code: '57P01' }, true],
    [{ severity: 'FATAL', code: '08P01' }, true],
    [{ severity: 'PANIC', code: 'XX000' }, true],
    [{ severity: 'ВАЖНО', code: '57P01' }, true],
    [{ severity: 'ВАЖНО', code: '25P04' }, true],
    [{ severity: 'ОШИБКА', code: '08001' }, false],
    [{ severity: 'FEHLER', code: '23505' }, false],
    [{ code: '08006' }, false],
    [new Error('anything'), false],
  ])('%o: %s', (error, ends) => {
    expect(endsConnection(error)).toBe(ends);
  });

  it('decides what is retriable', () => {
    const error = (fields: object): Error => Object.assign(new Error('x'), fields);
    expect(isRetriable(error({ severity: 'FATAL', code: '57P01' }))).toBe(true);
    expect(isRetriable(error({ severity: 'ERROR', code: '57P01' }))).toBe(false);
    expect(isRetriable(error({ code: 'ECONNRESET' }))).toBe(true);
  });
});
