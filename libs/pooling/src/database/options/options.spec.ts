import { inspect } from 'node:util';
import { defaults } from 'pg';
import { isAtLeast } from '#test/support/peer-version.js';
import { PoolOptionsError } from '../../core/errors.js';
import { redactUrl } from './connection-url.js';
import { DATABASE_RULES } from './option-rules.js';
import { resolveDatabaseOptions, type DatabaseOptions } from './options.js';

const PASSWORD = 'sup3r-s3cret';
const URL = `postgres://someone:${PASSWORD}@db.example.com:6543/shop`;

function refusal(options: DatabaseOptions): PoolOptionsError {
  try {
    resolveDatabaseOptions('orders', options);
  } catch (error) {
    return error as PoolOptionsError;
  }
  throw new Error('nothing was refused');
}

async function passwordOf(options: DatabaseOptions): Promise<string | undefined> {
  const { password } = resolveDatabaseOptions('orders', options).clientConfig;
  return typeof password === 'function' ? password() : password;
}

describe('resolveDatabaseOptions', () => {
  beforeEach(() => {
    for (const name of [
      'DATABASE_URL',
      'PGHOST',
      'PGPORT',
      'PGUSER',
      'PGDATABASE',
      'PGPASSWORD',
      'PGSSLMODE',
      'PGSSLNEGOTIATION',
      'PGAPPNAME',
    ]) {
      vi.stubEnv(name, undefined);
    }
  });
  afterEach(() => vi.unstubAllEnvs());

  it('takes undefined, for every option, as not said', () => {
    const unsaid = Object.fromEntries(Object.keys(DATABASE_RULES).map((name) => [name, undefined]));
    const described = (options: DatabaseOptions): string =>
      inspect(resolveDatabaseOptions('orders', options), { depth: 5 });
    expect(Object.keys(unsaid).length).toBeGreaterThan(20);
    expect(described({ ...unsaid, prePing: { idleMs: undefined, timeoutMs: undefined } })).toBe(described({}));
  });

  it('fills in the documented defaults', () => {
    expect(resolveDatabaseOptions('orders', { url: URL })).toMatchObject({
      name: 'orders',
      preset: 'small',
      size: 10,
      maxOverflow: 5,
      minIdle: 0,
      acquireTimeoutMs: 30_000,
      connectTimeoutMs: 10_000,
      idleTimeoutMs: 300_000,
      maxLifetimeMs: 3_600_000,
      lifetimeJitter: 0.25,
      maxUses: 0,
      prePing: { idleMs: 500, timeoutMs: 5_000 },
      keepAliveMs: 120_000,
      maxWaiting: 10_000,
      maxConnecting: 4,
      queryTimeoutMs: 60_000,
      statementTimeoutMs: 60_000,
      lockTimeoutMs: 0,
      idleInTransactionTimeoutMs: 0,
      session: { timezone: 'UTC' },
      reset: 'rollback',
      leakDetectionMs: 0,
      preparedStatements: { max: 256 },
      pipelining: false,
      startup: 'warm',
    });
  });

  it.each([
    ['medium', { size: 20, maxOverflow: 10, acquireTimeoutMs: 15_000, maxLifetimeMs: 1_800_000 }],
    ['high', { size: 50, maxOverflow: 20, acquireTimeoutMs: 5_000, maxLifetimeMs: 900_000, prePing: false }],
  ] as const)('fills what is not given from the preset %s', (preset, values) => {
    expect(resolveDatabaseOptions('orders', { url: URL, preset })).toMatchObject(values);
    expect(resolveDatabaseOptions('orders', { url: URL, preset, size: 7 })).toMatchObject({ ...values, size: 7 });
  });

  it('completes what is given in part', () => {
    const complete = (options: DatabaseOptions): unknown => resolveDatabaseOptions('orders', { url: URL, ...options });
    expect(complete({ prePing: { idleMs: 0 } })).toMatchObject({ prePing: { idleMs: 0, timeoutMs: 5_000 } });
    expect(complete({ prePing: true, preset: 'high' })).toMatchObject({ prePing: { idleMs: 500, timeoutMs: 5_000 } });
    expect(complete({ prePing: false })).toMatchObject({ prePing: false });
    expect(complete({ preparedStatements: true })).toMatchObject({ preparedStatements: { max: 256 } });
    expect(complete({ preparedStatements: { max: 9 } })).toMatchObject({ preparedStatements: { max: 9 } });
    expect(complete({ preparedStatements: false })).toMatchObject({ preparedStatements: false });
    expect(complete({ pipelining: {} })).toMatchObject({ pipelining: { depth: 16 } });
    expect(complete({ pipelining: false })).toMatchObject({ pipelining: false });
    expect(complete({ session: { search_path: 'shop' } })).toMatchObject({ session: { search_path: 'shop' } });
  });

  it('keeps fewer connections for quick queries than there may be', () => {
    const reserve = (options: DatabaseOptions): unknown =>
      resolveDatabaseOptions('orders', { url: URL, ...options }).quickReserve;
    expect(reserve({})).toBeUndefined();
    expect([reserve({ quickReserve: 0 }), reserve({ quickReserve: 14 })]).toEqual([0, 14]);
    expect(reserve({ size: 1, maxOverflow: 0, quickReserve: 0 })).toBe(0);
    const { problems } = refusal({ url: URL, size: 4, maxOverflow: 1, quickReserve: 5 }).details as {
      problems: string[];
    };
    expect(problems).toEqual(['quickReserve: 5 is not allowed; an integer from 0 to size + maxOverflow − 1 (4)']);
    expect(refusal({ url: URL, quickReserve: -1 }).message).toContain('quickReserve: -1 is not allowed');
    expect(refusal({ url: URL, quickReserve: 0.5 }).message).toContain('quickReserve: 0.5 is not allowed');
  });

  it('has a rule for every option and knows no other', () => {
    const { problems } = refusal({ nonsense: 1 } as DatabaseOptions).details as { problems: string[] };
    for (const name of Object.keys(DATABASE_RULES)) expect(problems[0]).toContain(name);
  });

  it('refuses all wrong options in one error that names the pool, the path, the value and what is allowed', () => {
    const error = refusal({
      url: URL,
      size: -1,
      maxOverflow: 1.5,
      minidle: 3,
      acquireTimeoutMs: 0,
      lifetimeJitter: 2,
      prePing: { idleMS: 5 },
      session: { timezone: {} },
      onConnect: 'select 1',
      reset: 'sometimes',
      pipelining: true,
      log: ['everything'],
      startup: 'never',
      connection: { port: 70_000, password: 5 },
    } as unknown as DatabaseOptions);
    expect(error).toBeInstanceOf(PoolOptionsError);
    expect(error).toMatchObject({ code: 'ERR_POOL_OPTIONS_INVALID', pool: 'orders' });
    expect(error.message).toMatch(/^orders: 14 wrong options:/);
    for (const part of [
      'size: -1 is not allowed; an integer ≥ 1',
      'maxOverflow: 1.5',
      'minidle: no such option; did you mean minIdle?',
      'acquireTimeoutMs: 0',
      'lifetimeJitter: 2 is not allowed; a number from 0 to 1',
      'prePing.idleMS: no such option; did you mean idleMs?',
      'session.timezone',
      'onConnect: "select 1" is not allowed; a function',
      'reset: "sometimes"',
      'pipelining: true',
      'startup: "never"',
      'connection.port: 70000',
      'connection.password: a number is not allowed',
    ]) {
      expect(error.message).toContain(part);
    }
    expect(inspect(error, { depth: 5 })).not.toContain(PASSWORD);
  });

  it('refuses a minIdle over the size, also when the size is a preset’s', () => {
    expect(refusal({ url: URL, minIdle: 11 }).message).toContain(
      'minIdle: 11 is not allowed; an integer from 0 to size (10)',
    );
    expect(refusal({ url: URL, minIdle: 3, size: 2 }).message).toContain('from 0 to size (2)');
  });

  it.each([
    `mysql://someone:${PASSWORD}@host/db`,
    `postgres://someone:${PASSWORD}@host:port/db`,
    `postgres://someone:${PASSWORD}`,
    `someone:${PASSWORD}@host`,
    `postgres://host/db?password=${PASSWORD}&sslrootcert=/no/such/file`,
    `host=db password=${PASSWORD}`,
    '',
  ])('refuses the URL %s without its password', (url) => {
    const error = refusal({ url });
    expect(error.message).toMatch(/url: .* is not allowed.*; a URL like postgres:/);
    expect(error.message).not.toContain(PASSWORD);
  });

  it('names a bad DATABASE_URL as what it is', () => {
    vi.stubEnv('DATABASE_URL', `http://someone:${PASSWORD}@host/db`);
    const { message } = refusal({});
    expect(message).toContain('DATABASE_URL (environment): "http://someone:***@host/db"');
    expect(message).not.toContain(PASSWORD);
  });

  it('takes the URL over the connection, field by field', async () => {
    const connection = { host: 'other', port: 1, user: 'other', password: 'other', database: 'other', ssl: true };
    const { target, clientConfig } = resolveDatabaseOptions('orders', { url: 'postgres://host/shop', connection });
    expect(target).toEqual({ host: 'host', port: 1, database: 'shop', user: 'other', ssl: true });
    expect(clientConfig.keepAlive).toBe(true);
    expect(await passwordOf({ url: URL, connection })).toBe(PASSWORD);
    expect(await passwordOf({ url: 'postgres://host/shop', connection })).toBe('other');
  });

  it('takes DATABASE_URL when neither is given, and the PG variables for what is open', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://url-host/url-database');
    vi.stubEnv('PGUSER', 'environment');
    vi.stubEnv('PGPASSWORD', PASSWORD);
    vi.stubEnv('PGPORT', '7777');
    vi.stubEnv('PGHOST', 'environment-host');
    expect(resolveDatabaseOptions('orders').target).toEqual({
      host: 'url-host',
      port: 7777,
      database: 'url-database',
      user: 'environment',
      ssl: false,
    });
    expect(await passwordOf({})).toBe(PASSWORD);
    vi.stubEnv('DATABASE_URL', undefined);
    vi.stubEnv('PGDATABASE', 'environment-database');
    vi.stubEnv('PGSSLMODE', 'require');
    expect(resolveDatabaseOptions('orders').target).toMatchObject({
      host: 'environment-host',
      database: 'environment-database',
      ssl: true,
    });
    expect(resolveDatabaseOptions('orders', { connection: { host: 'given' } }).target.host).toBe('given');
  });

  describe('begins TLS directly', () => {
    const connection = { ssl: true, sslnegotiation: 'direct' } as const;
    const url = `${URL}?sslmode=require&sslnegotiation=direct`;
    const refused = /"postgres", or "direct" with pg 8\.22 or later/;

    it.runIf(isAtLeast('pg', '8.22.0'))(
      'with a pg that can, by an option, the URL or the environment (needs pg 8.22)',
      () => {
        const direct = { sslnegotiation: 'direct' };
        expect(resolveDatabaseOptions('orders', { connection }).clientConfig).toMatchObject(direct);
        expect(resolveDatabaseOptions('orders', { url }).clientConfig).toMatchObject(direct);
        vi.stubEnv('PGSSLNEGOTIATION', 'direct');
        expect(resolveDatabaseOptions('orders', { url: URL }).clientConfig).toMatchObject(direct);
        const asked = { url: URL, connection: { sslnegotiation: 'postgres' } } as const;
        expect(resolveDatabaseOptions('orders', asked).clientConfig.sslnegotiation).toBe('postgres');
      },
    );

    it('with no older pg, which would pass over it without a word', () => {
      const known = Object.getOwnPropertyDescriptor(defaults, 'sslnegotiation');
      // Where there is one, pg is made as old as those that have none.
      Reflect.deleteProperty(defaults, 'sslnegotiation');
      onTestFinished(() => void (known && Object.defineProperty(defaults, 'sslnegotiation', known)));
      expect(refusal({ connection }).message).toMatch(/connection\.sslnegotiation: "direct" is not allowed; /);
      for (const options of [{ connection }, { url }, { connection: { connectionString: url } }]) {
        expect(refusal(options).message).toMatch(refused);
        expect(refusal(options).message).not.toContain(PASSWORD);
      }
      vi.stubEnv('DATABASE_URL', url);
      expect(refusal({}).message).toMatch(refused);
      // Which that pg doesn't read.
      vi.stubEnv('PGSSLNEGOTIATION', 'direct');
      expect(resolveDatabaseOptions('orders', { url: URL }).clientConfig).not.toHaveProperty('sslnegotiation');
    });

    it('and in no way that there isn’t', () => {
      expect(refusal({ connection: { sslnegotiation: 'sideways' as 'direct' } }).message).toMatch(refused);
      expect(refusal({ url: `${URL}?sslnegotiation=sideways` }).message).toMatch(refused);
    });
  });

  it('reads the environment once: what changes later changes nothing', async () => {
    vi.stubEnv('PGPASSWORD', PASSWORD);
    const { clientConfig } = resolveDatabaseOptions('orders', { url: 'postgres://someone@host/shop' });
    vi.stubEnv('PGPASSWORD', 'another');
    expect(await (clientConfig.password as () => Promise<string>)()).toBe(PASSWORD);
  });

  it('turns what pg would put into the start-up packet into its own options', () => {
    const url = `${URL}?statement_timeout=1000&lock_timeout=200&query_timeout=3000&connect_timeout=4&application_name=url`;
    const resolved = resolveDatabaseOptions('orders', { url });
    expect(resolved).toMatchObject({
      statementTimeoutMs: 1_000,
      lockTimeoutMs: 200,
      queryTimeoutMs: 3_000,
      connectTimeoutMs: 4_000,
      applicationName: 'url',
    });
    expect(Object.keys(resolved.clientConfig)).not.toEqual(expect.arrayContaining(['statement_timeout']));
    expect(Object.keys(resolved.clientConfig)).not.toEqual(expect.arrayContaining(['query_timeout']));
    const connection = { idle_in_transaction_session_timeout: 77, connectionTimeoutMillis: 88 };
    expect(resolveDatabaseOptions('orders', { connection })).toMatchObject({
      idleInTransactionTimeoutMs: 77,
      connectTimeoutMs: 88,
    });
    expect(resolveDatabaseOptions('orders', { url, statementTimeoutMs: 5 }).statementTimeoutMs).toBe(5);
  });

  it('passes other connection fields on to pg', () => {
    const stream = (): never => {
      throw new Error('not called');
    };
    const connection = { stream, keepAlive: false, enableChannelBinding: true, client_encoding: 'UTF8' };
    expect(resolveDatabaseOptions('orders', { url: URL, connection }).clientConfig).toMatchObject(connection);
    const connectionString = { connectionString: 'postgres://inner/db', host: 'outer' };
    expect(resolveDatabaseOptions('orders', { connection: connectionString }).target.host).toBe('inner');
  });

  it('names the application after its package, as short as PostgreSQL keeps it', () => {
    vi.stubEnv('npm_package_name', undefined);
    expect(resolveDatabaseOptions('orders', { url: URL }).applicationName).toMatch(/./);
    const applicationName = 'ä'.repeat(40);
    expect(resolveDatabaseOptions('orders', { url: URL, applicationName }).applicationName).toBe('ä'.repeat(31));
  });

  it('is frozen, and shows no secret however it is printed', () => {
    const ssl = { key: PASSWORD, rejectUnauthorized: false };
    const resolved = resolveDatabaseOptions('orders', { url: URL, connection: { ssl } });
    expect(Object.isFrozen(resolved)).toBe(true);
    expect(Object.isFrozen(resolved.session)).toBe(true);
    for (const shown of [
      inspect(resolved, { depth: 9 }),
      inspect(resolved.clientConfig, { depth: 9 }),
      JSON.stringify(resolved),
      JSON.stringify({ ...resolved.clientConfig }),
    ]) {
      expect(shown).not.toContain(PASSWORD);
    }
  });

  it('copies what it is given', () => {
    const session = { timezone: 'UTC' };
    const resolved = resolveDatabaseOptions('orders', { url: URL, session });
    session.timezone = 'Asia/Tokyo';
    expect(resolved.session).toEqual({ timezone: 'UTC' });
  });
});

describe('redactUrl', () => {
  it.each([
    ['postgres://user:secret@host:5432/db', 'postgres://user:***@host:5432/db'],
    ['postgres://user@host/db', 'postgres://user:***@host/db'],
    ['postgres://host:5432/db', 'postgres://host:5432/db'],
    ['postgres://user:sec@ret@host/db', 'postgres://user:***@host/db'],
    ['postgres://user:secret', 'postgres://***'],
    ['postgres://host/db?password=secret&ssl=true', 'postgres://host/db?password=***&ssl=true'],
    ['/var/run/postgresql db', '/var/run/postgresql db'],
    ['user:secret@host', '***'],
  ])('shows %s as %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });
});

describe('a budget', () => {
  it('has defaults, and gives each connection the id of this process behind the name of the application', () => {
    const { applicationName, budget, clientConfig } = resolveDatabaseOptions('default', {
      applicationName: 'Bücher',
      budget: { connections: 100 },
    });
    expect(budget).toEqual({ connections: 100, min: 2, checkMs: 5_000 });
    expect(applicationName).toBe('Bücher');
    expect(clientConfig.application_name).toMatch(/^Bucher#[0-9a-z]{6}$/);
    expect(
      resolveDatabaseOptions('other', { budget: { connections: 1, min: 1 } }).clientConfig.application_name,
    ).toMatch(new RegExp(`#${/\w{6}$/.exec(clientConfig.application_name!)![0]}$`));
  });

  it('is off by default, and changes no name then', () => {
    const { budget, clientConfig } = resolveDatabaseOptions('default', { applicationName: 'orders' });
    expect(budget).toBeUndefined();
    expect(clientConfig.application_name).toBe('orders');
  });

  it.each([
    [{}, /budget\.connections: is missing/],
    [{ connections: 0 }, /budget\.connections: 0 is not allowed/],
    [{ connections: 10, min: 11 }, /budget\.min: 11 is not allowed; an integer from 1 to connections \(10\)/],
    [{ connections: 1 }, /budget\.min: 2 is not allowed/],
    [{ connections: 10, checkMs: 10 }, /budget\.checkMs: 10 is not allowed/],
    [{ connections: 10, size: 5 }, /budget\.size: no such option/],
  ])('%o is refused', (budget, message) => {
    expect(() => resolveDatabaseOptions('default', { budget: budget as never })).toThrow(message);
  });

  it.each(['any', 'read-only', 'standby', 'prefer-standby', 'prefer-primary'] as const)(
    'is refused with several hosts of which %s will do: it counts on one server',
    (targetSessionAttrs) => {
      const url = 'postgres://a,b/shop';
      const budget = { connections: 100 };
      expect(() => resolveDatabaseOptions('default', { url, targetSessionAttrs, budget })).toThrow(
        new RegExp(
          `budget: with several hosts and targetSessionAttrs '${targetSessionAttrs}' .*; 'read-write' or 'primary'`,
        ),
      );
      const one = resolveDatabaseOptions('default', { url: 'postgres://a/shop', targetSessionAttrs, budget });
      expect(one.budget).toBeDefined();
    },
  );

  it('counts on each replica by itself, whatever their number', () => {
    const { replicas } = resolveDatabaseOptions('default', {
      url: 'postgres://a/shop',
      budget: { connections: 100 },
      replicas: { url: 'postgres://b,c/shop' },
    });
    expect(replicas?.pool).toMatchObject({ targetSessionAttrs: 'standby', budget: { connections: 100 } });
  });

  it('counts on the host that takes writes, which is what several hosts are asked for by default', () => {
    const budget = { connections: 100 };
    expect(resolveDatabaseOptions('default', { url: 'postgres://a,b/shop', budget }).budget).toBeDefined();
    const primary = resolveDatabaseOptions('default', {
      url: 'postgres://a,b/shop?target_session_attrs=primary',
      budget,
    });
    expect(primary.budget).toBeDefined();
  });
});
