import crypto, { webcrypto } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { join } from 'node:path';
import { PostgresServer } from 'nestjs-pooling/testing';
import pg from 'pg';
import { message } from '#test/support/server-messages.js';
import { refusedAfterDial } from '#test/support/turned-time.js';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import { usePools } from '#test/support/pools.js';
import { ManualClock } from '../../testing/manual-clock.js';
import { explainConnectFailure } from './connect-failure.js';
import type { DatabasePool } from '../database-pool.js';
import type { DatabaseOptions } from '../options/options.js';

const PASSWORD = 'the right one';
let server: PostgresServer;
let url: URL;

beforeAll(async () => {
  server = await PostgresServer.start({ password: PASSWORD });
  url = new URL(server.url);
});
afterAll(() => server.close());

const createPool = usePools('first', () => ({ acquireTimeoutMs: 60_000 }));
const servers: Server[] = [];
afterEach(() => {
  for (const each of servers.splice(0)) each.close();
});

/** The server's URL, changed. */
function urlWith(change: Partial<Pick<URL, 'hostname' | 'port' | 'username' | 'password' | 'pathname'>>): string {
  return Object.assign(new URL(url.href), change).href;
}

async function administer(...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** A server that answers whatever comes with the same bytes. */
async function answering(bytes: string): Promise<number> {
  const listening = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(bytes));
  });
  servers.push(listening);
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return (listening.address() as AddressInfo).port;
}

/** A server that asks for this authentication, and then nothing. */
async function asksFor(authentication: Buffer): Promise<number> {
  const listening = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write(message('R', authentication)));
  });
  servers.push(listening);
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return (listening.address() as AddressInfo).port;
}

describe('while no connection is open, an acquire fails at once, in words of its own,', () => {
  const CASES: readonly (readonly [what: string, options: () => DatabaseOptions, code: string, advice: RegExp])[] = [
    [
      'when the database does not exist',
      () => ({ url: urlWith({ pathname: '/nope' }) }),
      '3D000',
      /database nope doesn't exist: create it/,
    ],
    [
      'when the password is refused',
      () => ({ url: urlWith({ password: 'wrong' }) }),
      '28P01',
      /refuses the password of user postgres/,
    ],
    [
      'when the user does not exist',
      () => ({ url: urlWith({ username: 'nobody' }) }),
      '28P01',
      /refuses the password of user nobody/,
    ],
    [
      'when the name of the host does not exist',
      () => ({ url: urlWith({ hostname: 'nowhere.invalid' }) }),
      'ENOTFOUND',
      /name nowhere\.invalid doesn't exist/,
    ],
  ];

  it.each(CASES)('%s', async (_what, options, code, advice) => {
    const pool = createPool(options());
    const refused = { code: 'ERR_POOL_CONNECT_FAILED', pool: 'first', cause: { code } };
    const errors = await Promise.all(
      Array.from({ length: 20 }, () => pool.query('select 1').then(undefined, (error: Error) => error)),
    );
    for (const error of errors) {
      expect(error).toMatchObject(refused);
      expect((error as Error).message).toMatch(advice);
      expect((error as Error).message).not.toContain('wrong');
    }
    expect(new Set(errors).size).toBe(20);
    await expect(pool.connect()).rejects.toMatchObject(refused);
    expect(pool.statistics()).toMatchObject({ waiting: 0, acquireTimeouts: 0, size: 0 });
  });

  it('when the user may not connect to the database', async () => {
    await administer(
      "create role shut login password 'out'",
      'create database closed',
      'revoke connect on database closed from public',
    );
    const pool = createPool({ url: urlWith({ username: 'shut', password: 'out', pathname: '/closed' }) });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      cause: { code: '42501' },
      message: expect.stringMatching(/User shut has no permission/) as string,
    });
  });

  it('when the role may not log in', async () => {
    await administer("create role locked nologin password 'out'");
    const pool = createPool({ url: urlWith({ username: 'locked', password: 'out' }) });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      cause: { code: '28000' },
      message: expect.stringMatching(/doesn't let user locked in/) as string,
    });
  });

  describe.each(['scram-sha-256', 'md5', 'password'])('when the server asks for a password by %s', (method) => {
    const user = `by_${method.replaceAll('-', '_')}`;

    beforeAll(async () => {
      const encryption = method === 'md5' ? 'md5' : 'scram-sha-256';
      await administer(`set password_encryption = '${encryption}'`, `create role ${user} login password 'known'`);
      const rules = join(server.dataDirectory, 'pg_hba.conf');
      await writeFile(rules, `host all ${user} 127.0.0.1/32 ${method}\n${await readFile(rules, 'utf8')}`);
      await administer('select pg_reload_conf()');
    });

    const connectAs = (more: object): DatabasePool =>
      createPool({
        connection: { host: '127.0.0.1', port: Number(url.port), user, database: 'postgres', ...more },
        // Nothing of this waits for a time limit.
        connectTimeoutMs: 60_000,
      });

    it('and none is set', async () => {
      await expect(connectAs({}).query('select 1')).rejects.toMatchObject({
        code: 'ERR_POOL_CONNECT_FAILED',
        message: expect.stringMatching(
          new RegExp(`asks for the password of user ${user}, and none is set: DATABASE_URL or PGPASSWORD`),
        ) as string,
      });
    });

    it('and it is the wrong one', async () => {
      await expect(connectAs({ password: 'wrong' }).query('select 1')).rejects.toMatchObject({
        code: 'ERR_POOL_CONNECT_FAILED',
        cause: { code: '28P01' },
      });
    });

    it('unless it is the right one', async () => {
      expect((await connectAs({ password: 'known' }).query('select current_user as name')).rows).toEqual([
        { name: user },
      ]);
    });
  });

  it('when what pg makes of the password fails, and is told to nobody but the client', async () => {
    const pool = createPool({
      connection: { host: '127.0.0.1', port: await asksFor(Buffer.from([0, 0, 0, 5, 1, 2, 3, 4])), password: 'x' },
      acquireTimeoutMs: 60_000,
      connectTimeoutMs: 60_000,
    });
    vi.spyOn(webcrypto.subtle, 'digest').mockRejectedValue(new Error('no md5 here'));
    vi.spyOn(crypto, 'createHash').mockImplementation(() => {
      throw new Error('no md5 here');
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const failed = pool.query('select 1').catch((error: unknown) => error);
    await vi.waitFor(() => expect(pool.statistics().connectErrors).toBeGreaterThan(0));
    expect(pool.statistics().lastConnectError?.message).toContain('no md5 here');
    await pool.close({ deadlineMs: 0 });
    expect(await failed).toMatchObject({ code: 'ERR_POOL_CLOSED' });
  });

  it('when TLS is asked of a server that speaks none', async () => {
    const pool = createPool({ url: `${url.href}?sslmode=require` });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      message: expect.stringMatching(/doesn't speak TLS/) as string,
    });
  });

  it('when what answers TLS’s question is no PostgreSQL', async () => {
    const port = await answering('HTTP/1.1 400 Bad Request\r\n\r\n');
    const pool = createPool({ url: `postgres://me:secret@127.0.0.1:${port}/shop?sslmode=require` });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      message: expect.stringMatching(/isn't PostgreSQL/) as string,
    });
  });
});

it('connects by itself once the cause is gone: the dialler asks again under its back-off, and not with each acquire', async () => {
  const clock = new ManualClock();
  const pool = createPool({ url: urlWith({ pathname: '/late' }) }, { clock, random: () => 0.5 });
  const refused = { code: 'ERR_POOL_CONNECT_FAILED', cause: { code: '3D000' } };
  for (let count = 0; count < 50; count++) await expect(pool.query('select 1')).rejects.toMatchObject(refused);
  expect(pool.statistics().connectErrors).toBe(1);
  for (let count = 0; count < 5; count++) {
    await clock.advance(5_000);
    await expect(pool.query('select 1')).rejects.toMatchObject(refused);
  }
  expect(pool.statistics().connectErrors).toBe(6);
  await administer('create database late');
  await clock.advance(5_000);
  expect((await pool.query('select current_database() as name')).rows).toEqual([{ name: 'late' }]);
  expect(pool.statistics()).not.toHaveProperty('lastConnectError');
});

it('lets acquires wait while another connection is open, and while the pool is suspended', async () => {
  await administer("create role changed superuser login password 'first'");
  const pool = createPool({ url: urlWith({ username: 'changed', password: 'first' }), size: 2, maxOverflow: 0 });
  const client = await pool.connect();
  await client.query("alter role changed password 'second'");
  const waiting = pool.query('select 1');
  await vi.waitFor(() => expect(pool.statistics().connectErrors).toBeGreaterThan(0));
  expect(pool.statistics().waiting).toBe(1);
  client.release();
  expect((await waiting).rowCount).toBe(1);

  const clock = new ManualClock();
  const suspended = createPool({ url: urlWith({ pathname: '/nope' }), acquireTimeoutMs: 50 }, { clock });
  await expect(suspended.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_CONNECT_FAILED' });
  suspended.suspend();
  const refused = expect(suspended.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_SUSPENDED' });
  await clock.advance(60);
  await refused;
});

it('waits for what heals by waiting: nothing listens yet', async () => {
  const clock = new ManualClock();
  const pool = createPool({ url: 'postgres://me:secret@127.0.0.1:1/shop', acquireTimeoutMs: 100 }, { clock });
  expect(await refusedAfterDial(pool, clock)).toMatchObject({
    code: 'ERR_POOL_ACQUIRE_TIMEOUT',
    cause: { code: 'ECONNREFUSED' },
    message: expect.stringMatching(/Nothing listens at 127\.0\.0\.1:1: start PostgreSQL there/) as string,
  });
});

describe('a fault of this process is not blamed on the server:', () => {
  async function adviceFor(options: DatabaseOptions): Promise<string> {
    const clock = new ManualClock();
    const pool = createPool({ url: url.href, acquireTimeoutMs: 3_000, ...options }, { clock });
    const error = await refusedAfterDial(pool, clock);
    expect(error.message).not.toMatch(/reached|refuses connections|permission for what connecting/);
    return error.message;
  }

  it('onConnect', async () => {
    const fails = (): never => {
      throw Object.assign(new Error('permission denied for table tenant'), { code: '42501' });
    };
    expect(await adviceFor({ onConnect: fails })).toMatch(/The connection was open by then: onConnect failed\. \(/);
  });

  it('a session setting', async () => {
    const session = { timezone: 'Nowhere/At/All' };
    expect(await adviceFor({ session })).toMatch(/refuses a setting of its sessions: correct/);
  });

  it('the function that gives the password', async () => {
    const password = (): Promise<string> => Promise.reject(new Error('the token service is down'));
    const connection = { host: url.hostname, port: Number(url.port), user: 'postgres', password };
    const said = await adviceFor({ url: undefined, connection });
    expect(said).toMatch(/the token service is down\. The function that gives the password failed/);
    const nothing = { ...connection, password: (() => undefined) as unknown as () => string };
    expect(await adviceFor({ url: undefined, connection: nothing })).toMatch(/function that gives the password failed/);
  });

  it('an event loop that stood still', async () => {
    const clock = new ManualClock();
    const silent = createServer((socket) => socket.on('error', () => undefined));
    servers.push(silent);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const pool = createPool(
      { url: urlWith({ hostname: '127.0.0.1', port: String(port) }), connectTimeoutMs: 3_000, acquireTimeoutMs: 5_500 },
      { clock },
    );
    const outcome = pool.query('select 1').catch((error: unknown) => error as Error);
    await clock.leap(5_000);
    await clock.advance(1_000);
    expect(((await outcome) as Error).message).toMatch(
      /stood still for \d+ ms\. The event loop of this process stood still/,
    );
  });
});

describe('the words for a failed dial', () => {
  const target = { host: 'db.example', port: 5432, database: 'shop', user: 'me', ssl: true };
  const socket = { ...target, host: '/run/postgresql' };
  const failure = (code: string): Error => Object.assign(new Error(code), { code });

  it.each([
    ['CERT_HAS_EXPIRED', true, /certificate of db\.example isn't trusted/],
    ['SELF_SIGNED_CERT_IN_CHAIN', true, /certificate of db\.example isn't trusted/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', true, /certificate of db\.example isn't trusted/],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', true, /TLS with db\.example:5432 failed/],
    ['EAI_AGAIN', false, /can't be looked up now/],
    ['ETIMEDOUT', false, /no answer from db\.example:5432/],
    ['EHOSTUNREACH', false, /no answer from db\.example:5432/],
    ['53300', false, /no connection left/],
    ['57P03', false, /starting up, shutting down or recovering/],
    ['EMFILE', false, /may open no more files or sockets/],
    ['ECONNRESET', false, /db\.example:5432 hung up/],
    ['XX000', false, /A connection to db\.example:5432 can't be opened: XX000/],
  ])('say of %s whether waiting may heal it, and what to do', (code, permanent, advice) => {
    const explained = explainConnectFailure(failure(code), target);
    expect(explained.permanent).toBe(permanent);
    expect(explained.advice).toMatch(advice);
  });

  it('know a pooler’s own, that every address was tried, and a fault of this process', () => {
    const adviceOf = (error: unknown): string => explainConnectFailure(error, target).advice;
    const pooler = (words: string): Error => Object.assign(new Error(words), { code: '08P01' });
    expect(adviceOf(pooler('no such database: shop'))).toMatch(/pooler knows no database shop/);
    expect(adviceOf(pooler('no more connections allowed (max_client_conn)'))).toMatch(/pooler has no connection left/);
    for (const words of [
      'server login has been failing, cached error: connect failed (server_login_retry)',
      'client_login_timeout (server down)',
      'query_wait_timeout',
    ]) {
      expect(adviceOf(pooler(words))).toMatch(/pooler gets no connection to its server/);
    }
    expect(adviceOf(pooler('unsupported startup parameter: options'))).toMatch(/session settings/);
    expect(adviceOf(new AggregateError([failure('ETIMEDOUT'), failure('ECONNREFUSED')]))).toMatch(/Nothing listens/);
    expect(adviceOf(new TypeError('x is not a function'))).toMatch(/fault is in this process, not in the server/);
  });

  it('name a socket by its path', () => {
    expect(explainConnectFailure(failure('ENOENT'), socket).advice).toContain('/run/postgresql/.s.PGSQL.5432');
    expect(explainConnectFailure(failure('EACCES'), socket)).toMatchObject({ permanent: true });
  });

  it('are there for what isn’t an error', () => {
    expect(explainConnectFailure('a text', target)).toEqual({
      permanent: false,
      advice: "A connection to db.example:5432 can't be opened: a text",
    });
  });
});

it('fails at once with a certificate that isn’t trusted', async () => {
  const { key, certificate } = selfSignedCertificate();
  const secure = createTlsServer({ key, cert: certificate });
  const front = createServer((connection) => {
    connection.on('error', () => undefined);
    connection.once('data', () => {
      connection.write('S');
      secure.emit('connection', connection);
    });
  });
  servers.push(front);
  secure.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  const { port } = front.address() as AddressInfo;
  const pool = createPool({ url: `postgres://me:secret@127.0.0.1:${port}/shop?sslmode=verify-full` });
  await expect(pool.query('select 1')).rejects.toMatchObject({
    code: 'ERR_POOL_CONNECT_FAILED',
    cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    message: expect.stringMatching(/certificate of 127\.0\.0\.1 isn't trusted/) as string,
  });
});
