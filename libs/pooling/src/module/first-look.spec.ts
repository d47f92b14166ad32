import { createServer, type AddressInfo, type Server } from 'node:net';
import { Logger, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { startSecuredServer, type SecuredServer } from '#test/support/secured-server.js';
import type { DatabasePool } from '../database/database-pool.js';
import type { DatabaseOptions } from '../database/options/options.js';
import { PoolingModule } from './pooling.module.js';
import { getDbPoolToken } from './tokens.js';

let database: TestDatabase;
const applications: INestApplication[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const application of applications.splice(0)) await application.close();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => database.drop());

function urlWith(change: Partial<Pick<URL, 'hostname' | 'port' | 'username' | 'pathname'>>): string {
  return Object.assign(new URL(database.url), change).href;
}

/** Starts an application and gives the lines that it logs from then on. */
async function start(options?: DatabaseOptions): Promise<{ lines: string[]; pool: DatabasePool }> {
  const lines: string[] = [];
  for (const level of ['warn', 'error'] as const) {
    vi.spyOn(Logger.prototype, level).mockImplementation(
      (line: unknown) => void lines.push(`${level} ${String(line)}`),
    );
  }
  const testing = await Test.createTestingModule({
    imports: [PoolingModule.forRoot({ ...(options === undefined ? {} : { database: options }), http: false })],
  }).compile();
  const application = testing.createNestApplication();
  applications.push(application);
  await application.init();
  return { lines, pool: application.get<DatabasePool>(getDbPoolToken()) };
}

describe('an application that starts', () => {
  it.each([
    [
      'the database doesn’t exist',
      () => ({ url: urlWith({ pathname: '/nope' }) }),
      /3D000.*database nope doesn't exist: create it/,
    ],
    [
      'the user isn’t let in',
      () => ({ url: urlWith({ username: 'nobody' }) }),
      /28000.*doesn't let user nobody in: look at the role/,
    ],
    [
      'the name of the host doesn’t exist',
      () => ({ url: urlWith({ hostname: 'nowhere.invalid' }) }),
      /ENOTFOUND.*nowhere\.invalid doesn't exist/,
    ],
    [
      'nothing listens',
      () => ({ url: urlWith({ port: '1' }) }),
      /ECONNREFUSED.*Nothing listens at .*:1: start PostgreSQL there/,
    ],
  ] as const)('says in its log what is wrong and what to set when %s', async (_what, options, expected) => {
    const { lines, pool } = await start(options());
    await vi.waitFor(() => expect(lines).toHaveLength(1));
    expect(lines[0]).toMatch(/^error default: can't connect to database /);
    expect(lines[0]).toMatch(expected);
    expect(pool.statistics().state).toBe('running');
  });

  it('says after a second that there is no answer yet, and goes on trying', async () => {
    const silent = createServer();
    servers.push(silent);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const { lines } = await start({
      url: urlWith({ hostname: '127.0.0.1', port: String(port) }),
      connectTimeoutMs: 20_000,
    });
    await vi.waitFor(() =>
      expect(lines).toEqual([expect.stringMatching(/^warn default: no answer yet from database /)]),
    );
  });

  it('says that DATABASE_URL isn’t set when nothing says where the database is', async () => {
    vi.stubEnv('DATABASE_URL', '');
    vi.stubEnv('PGHOST', '127.0.0.1');
    vi.stubEnv('PGPORT', '1');
    const { lines } = await start();
    await vi.waitFor(() => expect(lines).toEqual([expect.stringContaining("(DATABASE_URL isn't set)")]));
  });

  it('keeps the connection that it has looked with, and logs nothing, when all is well', async () => {
    const { lines, pool } = await start({ url: database.url });
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ idle: 1, opened: 1 }));
    expect(lines).toEqual([]);
  });

  it('looks at nothing with startup: lazy', async () => {
    const { lines, pool } = await start({ url: urlWith({ port: '1' }), startup: 'lazy' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pool.statistics().connectErrors).toBe(0);
    expect(lines).toEqual([]);
  });
});

describe('an application that starts with a server that asks for a password and speaks TLS', () => {
  const password = 'the right one';
  let secured: SecuredServer;
  beforeAll(async () => {
    secured = await startSecuredServer(password);
  });
  afterAll(() => secured.server.close());

  it.each([
    [
      'the password is refused',
      { password: 'not that', ssl: false },
      /28P01.*The server refuses the password of user postgres: correct it in DATABASE_URL or the options/,
    ],
    [
      'no password is set',
      { password: '', ssl: false },
      /The server asks for the password of user postgres, and none is set: DATABASE_URL or PGPASSWORD/,
    ],
    [
      'the certificate isn’t trusted',
      { password, ssl: true },
      /DEPTH_ZERO_SELF_SIGNED_CERT.*The certificate of localhost isn't trusted: give its authority as ssl\.ca \(sslrootcert\)/,
    ],
    [
      'the certificate is for another name',
      { password, host: '127.0.0.1', ssl: 'with its authority' as const },
      /ERR_TLS_CERT_ALTNAME_INVALID.*The certificate of 127\.0\.0\.1 isn't trusted: .*use the name it is made for/,
    ],
  ])('says so when %s, and a query fails at once', async (_what, { ssl, ...connection }, expected) => {
    vi.stubEnv('PGPASSWORD', undefined);
    const { lines, pool } = await start({
      connection: {
        host: 'localhost',
        port: secured.server.port,
        user: 'postgres',
        database: 'postgres',
        ssl: ssl === 'with its authority' ? { ca: secured.certificate } : ssl,
        ...connection,
      },
    });
    await vi.waitFor(() => expect(lines).toHaveLength(1));
    expect(lines[0]).toMatch(expected);
    expect(lines[0]).not.toContain(password);
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_CONNECT_FAILED' });
  });
});
