/** Behaviours of pgxpool and puddle that no other test shows; docs/parity.md lists all of them. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { openIdle, useProxiedDatabase } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';

const proxied = useProxiedDatabase();

describe('a connection that is given back', () => {
  it('with queries still running or waiting is destroyed, and the next borrower has another', async () => {
    const pool = proxied.pools.create({ size: 1 });
    const client = await pool.connect();
    const abandoned = ['select pg_sleep(0.3)', 'select 1'].map((text) =>
      client.query(text).catch((error: Error) => error),
    );
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    for (const outcome of await Promise.all(abandoned)) expect(outcome).toBeInstanceOf(Error);
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
  });

  it('with a cursor still open is destroyed, and the next borrower has another', async () => {
    const pool = proxied.pools.create({ size: 1 });
    const { default: Cursor } = await import('pg-cursor');
    const client = await pool.connect();
    const cursor = client.query(new Cursor('select generate_series(1, 1000)'));
    expect(await cursor.read(10)).toHaveLength(10);
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
  });
});

describe('an idle connection', () => {
  it('past its lifetime is not leased, although no background round has closed it yet', async () => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ size: 1, maxLifetimeMs: 60_000, lifetimeJitter: 0, prePing: false }, { clock });
    await openIdle(pool, 1);
    // A leap: the time has passed, and no round has run in it.
    const leaped = clock.leap(60_000);
    expect(pool.statistics().closed.lifetime).toBe(0);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await leaped;
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { lifetime: 1 } });
  });

  it('that somebody used behind the pool’s back is not leased', async () => {
    const pool = proxied.pools.create({ size: 1, prePing: false });
    const kept: { query(text: string): Promise<unknown> }[] = [];
    pool.on('connect', (client: { query(text: string): Promise<unknown> }) => kept.push(client));
    await openIdle(pool, 1);
    await kept[0]?.query('begin');
    const client = await pool.connect();
    expect(client.getTransactionStatus()).toBe('I');
    client.release();
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
  });

  it('is checked with a time limit of its own, however long the acquire may take', async () => {
    const clock = new ManualClock();
    const options = { size: 1, acquireTimeoutMs: 30_000, prePing: { idleMs: 0, timeoutMs: 100 } };
    const pool = proxied.pools.create(options, { clock });
    await openIdle(pool, 1);
    proxied.pools.proxy.delay(60_000, 'toClient');
    const waiting = pool.connect();
    await clock.advance(110);
    await vi.waitFor(() => expect(pool.statistics().closed.invalid).toBe(1));
    proxied.pools.proxy.delay(0);
    (await waiting).release();
    expect(await slotsOf(pool)).toEqual(noneLost(1));
  });
});

it('a dial that is stuck in the TLS handshake ends at connectTimeoutMs, and leaves no socket', async () => {
  const sockets = new Set<Socket>();
  const willing = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).on('close', () => sockets.delete(socket)));
    // Agrees to TLS, and never says hello.
    socket.once('data', () => void socket.write('S'));
  });
  await new Promise<void>((resolve) => willing.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = willing.address() as AddressInfo;
    const clock = new ManualClock();
    const connection = {
      host: '127.0.0.1',
      port,
      user: 'nobody',
      database: 'nowhere',
      ssl: { rejectUnauthorized: false },
    };
    await using pool = new DatabasePool('tls', { connection, connectTimeoutMs: 150, acquireTimeoutMs: 400 }, { clock });
    const late = expect(pool.connect()).rejects.toMatchObject({
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      cause: { code: 'ETIMEDOUT' },
    });
    await vi.waitFor(() => expect(sockets.size).toBe(1));
    await clock.advance(410);
    await late;
    await pool.close();
    await vi.waitFor(() => expect(sockets.size).toBe(0));
  } finally {
    willing.close();
  }
});

it('what an aborted acquire has begun is kept: the connection is opened and idle', async () => {
  const pool = proxied.pools.create({ size: 1 });
  const abort = new AbortController();
  proxied.pools.proxy.delay(20);
  proxied.pools.proxy.resetCounters();
  const aborted = pool.connect({ signal: abort.signal });
  abort.abort(new Error('the caller has gone'));
  await expect(aborted).rejects.toThrow('the caller has gone');
  await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ opened: 1, idle: 1, waiting: 0 }));
  await pool.query('select 1');
  expect(proxied.pools.proxy.accepted).toBe(1);
});
