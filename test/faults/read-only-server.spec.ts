import { PostgresServer } from 'nestjs-pooling/testing';
import { DatabasePool, PoolAdvisor, type DatabaseOptions } from 'nestjs-pooling';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { MovingName } from '#test/support/moving-name.js';

const LOGIN = { user: 'postgres', database: 'postgres', password: 'secret' };
let first: PostgresServer;
let second: PostgresServer;
let name: MovingName;

beforeAll(async () => {
  [first, second] = await Promise.all([
    PostgresServer.start({ password: LOGIN.password }),
    PostgresServer.start({ password: LOGIN.password }),
  ]);
  for (const { url } of [first, second]) await run(url, 'create table written (n int)');
}, 120_000);
afterAll(() => Promise.all([first.close(), second.close()]));
beforeEach(async () => {
  name = await new MovingName(first.port).listen();
  for (const { url } of [first, second]) await setReadOnly(url, false);
});
afterEach(() => name.close());

async function run(url: string, text: string): Promise<unknown[]> {
  await using pool = new DatabasePool('admin', { url, size: 1, session: { default_transaction_read_only: 'off' } });
  return (await pool.query(text)).rows;
}

/** As managed databases do when their disk is full, and fail-over tools before they promote another server. */
async function setReadOnly(url: string, on: boolean): Promise<void> {
  await run(url, `alter system set default_transaction_read_only = ${on ? 'on' : 'off'}`);
  await run(url, 'select pg_reload_conf()');
  await using pool = new DatabasePool('admin', { url, size: 1, maxUses: 1 });
  const show = 'show default_transaction_read_only';
  for (;;) {
    const { rows } = await pool.query<{ default_transaction_read_only: string }>(show);
    if (rows[0]?.default_transaction_read_only === (on ? 'on' : 'off')) return;
  }
}

const pools: DatabasePool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
});

function createPool(options: DatabaseOptions = {}, clock = new ManualClock()): DatabasePool {
  const pool = new DatabasePool(
    'shop',
    { connection: { host: '127.0.0.1', port: name.port, ...LOGIN }, size: 4, maxOverflow: 0, ...options },
    { clock },
  );
  pools.push(pool);
  return pool;
}

async function fill(pool: DatabasePool, size = 4): Promise<void> {
  const clients = await Promise.all(Array.from({ length: size }, () => pool.connect()));
  for (const client of clients) client.release();
}

const write = (pool: DatabasePool): Promise<string> =>
  pool.query('insert into written values ($1)', [1]).then(
    () => 'written',
    (error: { code: string }) => error.code,
  );

async function settled(pool: DatabasePool): Promise<void> {
  await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ inUse: 0, connecting: 0 }));
}

describe('a primary that was demoted and keeps its connections', () => {
  it('loses them to the server that the name points to by now, after a refused write', async () => {
    const pool = createPool();
    await fill(pool);
    expect(await write(pool)).toBe('written');
    await setReadOnly(first.url, true);
    name.target = second.port;
    const codes: string[] = [];
    for (let n = 0; n < 20; n++) codes.push(await write(pool));
    // The next write may be sent before the first one's connection has told why it refused.
    expect(codes.slice(0, 1)).toEqual(['25006']);
    expect(codes.slice(4)).toEqual(Array(16).fill('written'));
    expect(pool.statistics()).toMatchObject({ readOnly: false });
  });
});

describe('a server that is read-only wherever the name points', () => {
  it('is said to be, serves reads, and is dialled a few times only', async () => {
    const clock = new ManualClock();
    const pool = createPool({}, clock);
    const advisor = new PoolAdvisor({ databases: () => [pool] });
    await fill(pool);
    await setReadOnly(first.url, true);
    for (let n = 0; n < 30; n++) expect(await write(pool)).toBe('25006');
    await settled(pool);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics().readOnly).toBe(true);
    expect(await pool.ping()).toMatchObject({ status: 'degraded' });
    expect(await advisor.advise()).toMatchObject([{ code: 'READ_ONLY_SERVER', severity: 'error', pool: 'shop' }]);
    expect(pool.statistics().opened).toBeLessThanOrEqual(8);

    await setReadOnly(first.url, false);
    await clock.advance(10_000);
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    expect(await write(pool)).toBe('written');
    expect(pool.statistics().readOnly).toBe(false);
    expect(await advisor.advise()).toEqual([]);
  });
});

describe('a transaction that its borrower made read-only', () => {
  it.each([
    ['begin read only', 'rollback'],
    ['begin; set transaction read only', 'rollback'],
    ['set default_transaction_read_only = on', 'reset default_transaction_read_only'],
  ])('says nothing of the server: %s', async (begin, end) => {
    const pool = createPool({ size: 1 });
    const client = await pool.connect();
    await client.query(begin);
    await expect(client.query('insert into written values (1)')).rejects.toMatchObject({ code: '25006' });
    await client.query(end);
    client.release();
    expect(await write(pool)).toBe('written');
    expect(pool.statistics()).toMatchObject({ opened: 1, readOnly: false });
  });

  it.each([
    ['the pool’s session settings', { session: { default_transaction_read_only: 'on' } }],
    ['the URL', { connection: { options: '-c default_transaction_read_only=on' } }],
  ])('nor does %s', async (_where, options) => {
    const connection = { host: '127.0.0.1', port: name.port, ...LOGIN, ...(options as DatabaseOptions).connection };
    const pool = createPool({ size: 1, ...options, connection });
    for (let n = 0; n < 4; n++) expect(await write(pool)).toBe('25006');
    await settled(pool);
    expect(pool.statistics()).toMatchObject({ opened: 1, readOnly: false });
  });
});
