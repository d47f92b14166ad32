import { useProxiedDatabase } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';

const proxied = useProxiedDatabase();

describe('a table altered under prepared statements', () => {
  const TEXT = 'select * from altered where id = $1';

  beforeEach(async () => {
    await proxied.database.query('drop table if exists altered');
    await proxied.database.query('create table altered (id int)');
    await proxied.database.query('insert into altered values (1)');
  });

  it('is seen by nobody outside a transaction, on whichever connection they are', async () => {
    const pool = proxied.pools.create({ size: 3 });
    const readOnEach = async (): Promise<unknown[]> => {
      const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
      const answers = await Promise.all(clients.map((client) => client.query(TEXT, [1])));
      for (const client of clients) client.release();
      return answers.flatMap(({ rows }) => rows as unknown[]);
    };
    for (let use = 0; use < 3; use++) expect(await readOnEach()).toEqual(Array.from({ length: 3 }, () => ({ id: 1 })));
    expect(pool.statistics().preparedStatementHits).toBeGreaterThan(0);
    await proxied.database.query("alter table altered add column name text default 'one'");
    expect(await readOnEach()).toEqual(Array.from({ length: 3 }, () => ({ id: 1, name: 'one' })));
    expect(await slotsOf(pool)).toEqual(noneLost(3));
    expect(pool.statistics()).toMatchObject({ opened: 3 });
  });

  it('is found out once for the whole pool: transactions on the other connections don’t fail for it', async () => {
    const pool = proxied.pools.create({ size: 2 });
    const [first, second] = await Promise.all([pool.connect(), pool.connect()]);
    for (const client of [first, second]) {
      for (let use = 0; use < 3; use++) await client.query(TEXT, [1]);
    }
    await proxied.database.query("alter table altered add column name text default 'one'");
    expect((await first.query(TEXT, [1])).rows).toEqual([{ id: 1, name: 'one' }]);
    await second.query('begin');
    expect((await second.query(TEXT, [1])).rows).toEqual([{ id: 1, name: 'one' }]);
    await second.query('commit');
    first.release();
    second.release();
  });
});
