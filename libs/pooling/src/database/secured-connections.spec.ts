import { createServer, type AddressInfo } from 'node:net';
import { PostgresServer } from 'nestjs-pooling/testing';
import { isAtLeast } from '#test/support/peer-version.js';
import { startSecuredServer } from '#test/support/secured-server.js';
import { refusedAfterDial } from '#test/support/turned-time.js';
import { ManualClock } from '../testing/manual-clock.js';
import { DatabasePool } from './database-pool.js';
import type { DatabasePoolDependencies } from './database-parts.js';
import type { DatabaseOptions } from './options/options.js';

const PASSWORD = 'the first';
let server: PostgresServer;
let certificate: string;
let port: number;

beforeAll(async () => {
  ({ server, certificate } = await startSecuredServer(PASSWORD));
  ({ port } = server);
});
afterAll(() => server.close());

function createPool(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
  const connection = {
    host: 'localhost',
    port,
    user: 'postgres',
    database: 'postgres',
    password: PASSWORD,
    ssl: { ca: certificate },
    ...options.connection,
  };
  return new DatabasePool('secured', { size: 2, ...options, connection }, dependencies);
}

/** What an older pg does with `direct` is in options.spec.ts. */
const NEGOTIATIONS = isAtLeast('pg', '8.22.0') ? (['postgres', 'direct'] as const) : (['postgres'] as const);

const ENCRYPTED = 'select ssl as encrypted from pg_stat_ssl where pid = pg_backend_pid()';

describe('a pool over TLS', () => {
  it('connects, checks the certificate, and pings', async () => {
    await using pool = createPool();
    expect((await pool.query(ENCRYPTED)).rows).toEqual([{ encrypted: true }]);
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    await using distrustful = createPool({ connection: { ssl: true } });
    await expect(distrustful.query('select 1')).rejects.toMatchObject({
      cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    });
  });

  it.each([
    ...NEGOTIATIONS.map((sslnegotiation) => ({ sslnegotiation, pipelining: false as const })),
    { sslnegotiation: 'postgres' as const, pipelining: {} },
  ])(
    'prepares and runs statements through TLS: $sslnegotiation, $pipelining',
    async ({ sslnegotiation, pipelining }) => {
      await using pool = createPool({ pipelining, connection: { sslnegotiation } });
      const text = "select $1::int as n, repeat('x', 50000) as long";
      for (let round = 0; round < 5; round++) {
        const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => pool.query(text, [n])));
        expect(answers.map(({ rows }) => rows)).toEqual(
          Array.from({ length: 20 }, (_, n) => [{ n, long: 'x'.repeat(50_000) }]),
        );
      }
      expect((await pool.query(ENCRYPTED)).rows).toEqual([{ encrypted: true }]);
      expect(pool.statistics().preparedStatementHits).toBeGreaterThan(20);
    },
  );

  it.each(NEGOTIATIONS)('cancels a query through TLS as well (%s)', async (sslnegotiation) => {
    const clock = new ManualClock();
    await using pool = createPool({ queryTimeoutMs: 500, connection: { sslnegotiation } }, { clock });
    const running = async (): Promise<number | null> => {
      const { rowCount } = await pool.query(
        "select 1 from pg_stat_activity where query like '%over tls%' and wait_event = 'PgSleep'",
      );
      return rowCount;
    };
    expect((await pool.query(ENCRYPTED)).rows).toEqual([{ encrypted: true }]);
    const late = expect(pool.query('select pg_sleep(30) /* over tls */')).rejects.toMatchObject({
      code: 'ERR_POOL_QUERY_TIMEOUT',
    });
    await vi.waitFor(async () => expect(await running()).toBe(1));
    await clock.advance(510);
    await late;
    await vi.waitFor(async () => expect(await running()).toBe(0));
    expect(pool.statistics().cancelFailures).toBe(0);
  });
});

describe('channel_binding=require', () => {
  const url = (parameters: string): string =>
    `postgres://postgres:${encodeURIComponent(PASSWORD)}@localhost:${port}/postgres?channel_binding=require${parameters}`;

  it('is met by a server that binds the password to its certificate', async () => {
    await using pool = new DatabasePool('bound', { url: url(''), connection: { ssl: { ca: certificate } } });
    expect((await pool.query(ENCRYPTED)).rows).toEqual([{ encrypted: true }]);
  });

  it('is refused where nothing is bound, before the password is sent', async () => {
    const clock = new ManualClock();
    const options = { url: url('&sslmode=disable'), acquireTimeoutMs: 3_000 };
    await using pool = new DatabasePool('unbound', options, { clock });
    expect((await refusedAfterDial(pool, clock)).message).toMatch(/offers no channel binding/);
    const heard: Buffer[] = [];
    const impostor = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        // AuthenticationCleartextPassword
        socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
        socket.on('data', (bytes) => heard.push(bytes));
      });
    });
    await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
    const { port: impostors } = impostor.address() as AddressInfo;
    const theirs = `postgres://me:${encodeURIComponent(PASSWORD)}@127.0.0.1:${impostors}/shop?channel_binding=require`;
    await using tricked = new DatabasePool('tricked', { ...options, url: theirs }, { clock });
    expect((await refusedAfterDial(tricked, clock)).message).toMatch(/offers no channel binding/);
    impostor.close();
    expect(Buffer.concat(heard).toString()).not.toContain(PASSWORD);
  });
});

describe('a password', () => {
  it('may be an async function that is asked at each dial: rotated without a failed query', async () => {
    const rotating = await PostgresServer.start({ password: PASSWORD });
    try {
      let current = PASSWORD;
      let asked = 0;
      const password = async (): Promise<string> => {
        asked++;
        await new Promise((resolve) => setImmediate(resolve));
        return current;
      };
      await using pool = createPool({ connection: { port: rotating.port, ssl: false, password } });
      await pool.query('select 1');
      await pool.query("alter user postgres password 'the second'");
      current = 'the second';
      pool.expireAll();
      await Promise.all(Array.from({ length: 4 }, () => pool.query('select pg_sleep(0.01)')));
      expect(asked).toBeGreaterThanOrEqual(2);
      expect(pool.statistics()).toMatchObject({ connectErrors: 0, closed: { expired: 1 } });
    } finally {
      await rotating.close();
    }
  });

  it.each<[string, string, string | (() => Promise<string>), object]>([
    ['a wrong one fails the acquire at once', 'ERR_POOL_CONNECT_FAILED', 'wrong', { code: '28P01' }],
    [
      'one that can’t be had yet is the cause of the time-out',
      'ERR_POOL_ACQUIRE_TIMEOUT',
      () => Promise.reject(new Error('the vault is sealed')),
      { message: 'the vault is sealed' },
    ],
  ])('%s, and is not shown', async (_what, code, password, cause) => {
    const clock = new ManualClock();
    await using pool = createPool({ acquireTimeoutMs: 400, connection: { password } }, { clock });
    const error = await refusedAfterDial(pool, clock);
    expect(error).toMatchObject({ code, cause });
    expect(error.message).not.toContain('wrong');
  });
});
