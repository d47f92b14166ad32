import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import pg from 'pg';
import { PoolOptionsError } from '../../core/errors.js';
import { redactUrl } from './connection-url.js';
import { sessionSettings } from '../connection/session-set-up.js';
import { resolveDatabaseOptions, type DatabaseOptions, type ResolvedDatabaseOptions } from './options.js';
import { pgOptionsOf } from './pg-options.js';
import { serverMilliseconds, settingsOf } from './server-settings.js';

const SECRET = 'sup3r-s3cret';
const URL = `postgres://someone:${SECRET}@db.example.com:6543/shop`;

function resolve(options: DatabaseOptions): ResolvedDatabaseOptions {
  return resolveDatabaseOptions('orders', options);
}

/** Why it is refused; no refusal may show the secret. */
function refusal(options: DatabaseOptions): string {
  try {
    resolve(options);
  } catch (error) {
    expect(error).toBeInstanceOf(PoolOptionsError);
    expect(inspect(error, { depth: 9 })).not.toContain(SECRET);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

/** What an option that pg doesn't type is given as. */
function connection(fields: object): DatabaseOptions['connection'] {
  return fields as DatabaseOptions['connection'];
}

/** What `tls.connect` gets of it, as pg copies it. */
function tlsOf({ clientConfig }: ResolvedDatabaseOptions): Record<string, unknown> | boolean {
  const { ssl } = clientConfig;
  if (typeof ssl !== 'object') return ssl ?? false;
  return { ...ssl, ...('key' in ssl ? { key: ssl.key } : undefined) };
}

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'connection-options-'));
  writeFileSync(join(folder, 'ca.pem'), 'the authority');
  writeFileSync(join(folder, 'key.pem'), 'the key');
});
afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(() => {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('PG') || name === 'DATABASE_URL') vi.stubEnv(name, undefined);
  }
});
afterEach(() => vi.unstubAllEnvs());

describe('what connection says', () => {
  it('counts also where pg has hidden it: the password and the key of an object that a pool of pg’s has used', async () => {
    const used = {
      host: 'db',
      user: 'me',
      password: SECRET,
      ssl: { key: 'the key', passphrase: 'word', ca: 'authority' },
    };
    const { options } = new pg.Pool(used);
    expect(Object.keys(options)).not.toContain('password');
    expect(Object.keys(used.ssl)).not.toContain('key');
    const { host, user, ssl } = options;
    const given = Object.defineProperty({ host, user, ssl }, 'password', {
      enumerable: false,
      value: options.password,
    });
    const resolved = resolve({ connection: given });
    expect(await (resolved.clientConfig.password as () => Promise<string>)()).toBe(SECRET);
    expect(tlsOf(resolved)).toEqual({ key: 'the key', passphrase: 'word', ca: 'authority' });
  });

  it('may be a port as a string, as it comes out of the environment', () => {
    expect(resolve({ connection: connection({ host: 'db', port: '6432' }) }).target.port).toBe(6432);
    expect(refusal({ connection: connection({ port: '6432x' }) })).toContain('connection.port: "6432x" is not allowed');
    expect(refusal({ connection: connection({ port: '0' }) })).toContain('a port from 1 to 65535');
  });

  it.each([
    ['max', /connection\.max: no such option; use size .* and maxOverflow .*, beside connection/],
    ['min', /use minIdle, beside connection/],
    ['idleTimeoutMillis', /use idleTimeoutMs, beside connection/],
    ['maxLifetimeSeconds', /use maxLifetimeMs, in milliseconds, beside connection/],
    ['maxUses', /use maxUses, beside connection/],
    ['allowExitOnIdle', /no such option: close\(\) lets the process end/],
    ['onConnect', /use onConnect, beside connection/],
    ['binary', /binary: not supported; rows are read as text/],
    ['pipeline', /pipeline: not supported; use pipelining, beside connection/],
    ['sslmode', /use ssl, or sslmode in the URL/],
    ['schema', /search_path/],
    ['databse', /did you mean database\?/],
    ['nonsense', /no such option; known: user, password, host/],
  ])('and nobody reads is refused by name: %s', (name, words) => {
    expect(refusal({ connection: connection({ host: 'db', [name]: true }) })).toMatch(words);
    expect(resolve({ connection: connection({ host: 'db', [name]: undefined }) }).target.host).toBe('db');
  });

  it('may be what pg-connection-string gives for a URL', () => {
    const parsed = { ...pgOptionsOf(resolve({ url: URL })) };
    expect(refusal({ connection: parsed })).toMatch(/connection\.max: no such option/);
    const fields = connection({ host: 'db', sslmode: 'no-verify', ssl: { rejectUnauthorized: false }, database: null });
    expect(tlsOf(resolve({ connection: fields }))).toEqual({ rejectUnauthorized: false });
  });

  it('is checked in its values too', () => {
    expect(refusal({ connection: connection({ host: 'a,b' }) })).toContain('the name of one host');
    expect(refusal({ connection: connection({ host: URL }) })).toContain('connection.host: a string is not allowed');
    expect(refusal({ connection: connection({ ssl: 'require' }) })).toContain(
      'connection.ssl: a string is not allowed',
    );
    expect(refusal({ connection: connection({ ssl: { rejectUnauthorised: false } }) })).toContain(
      'connection.ssl.rejectUnauthorised: no such option; did you mean rejectUnauthorized?',
    );
    expect(refusal({ connection: connection({ ssl: { sslrootcert: '/ca' } }) })).toContain('did you mean ca?');
    expect(refusal({ connection: connection({ client_encoding: 'LATIN1' }) })).toContain('pg speaks no other');
    expect(refusal({ connection: connection({ statement_timeout: 'soon' }) })).toContain(
      'connection.statement_timeout',
    );
    expect(refusal({ connection: connection({ sslnegotiation: 'direct', host: 'db' }) })).toMatch(/sslnegotiation/);
  });

  it('of TLS is the same whether it says false or "false"', () => {
    expect(tlsOf(resolve({ connection: connection({ ssl: 'false' }) }))).toBe(false);
    expect(tlsOf(resolve({ url: `${URL}?ssl=false` }))).toBe(false);
    expect(tlsOf(resolve({ url: `${URL}?ssl=true` }))).toBe(true);
  });
});

describe('the options of the pool', () => {
  it.each([
    ['max', /max: no such option; use size \(kept when idle\) and maxOverflow/],
    ['min', /min: no such option; use minIdle/],
    ['connectionString', /connectionString: no such option; use url/],
    ['idleTimeoutMillis', /use idleTimeoutMs/],
    ['connectionTimeoutMillis', /use acquireTimeoutMs .* or connectTimeoutMs/],
    ['maxLifetimeSeconds', /use maxLifetimeMs, in milliseconds/],
    ['statement_timeout', /use statementTimeoutMs/],
    ['poolSize', /use size and maxOverflow/],
    ['host', /use connection\.host or url/],
    ['ssl', /use connection\.ssl/],
    ['keepAlive', /use connection\.keepAlive; keepAliveMs is how often/],
    ['min_idle', /did you mean minIdle\?/],
    ['acquireTimeout', /did you mean acquireTimeoutMs\?/],
  ])('have a hint that does not mislead for %s', (name, words) => {
    expect(refusal({ url: URL, [name]: 1 } as DatabaseOptions)).toMatch(words);
  });
});

describe('a URL', () => {
  it('may begin with pg://', () => {
    expect(resolve({ url: URL.replace('postgres:', 'pg:') }).target).toEqual(resolve({ url: URL }).target);
  });

  it.each([
    'postgres://someone:12/sup3r-s3cret@db/shop',
    'postgres://someone:/sup3r-s3cret@db/shop',
    'postgres://someone:sup3r-s3cret/12@db/shop',
    'postgres://someone:1?sup3r-s3cret@db/shop',
    'postgres://someone:1?sup3r-s3cret=x@db/shop',
    'postgres://someone:a@b/sup3r-s3cret@db/shop',
    'postgres://someone:12#sup3r-s3cret@db/shop',
  ])('with an unescaped character in its password is refused, and shows nothing of it: %s', (url) => {
    expect(refusal({ url })).toMatch(/%2F|%23|not allowed/);
    expect(redactUrl(url)).not.toContain(SECRET);
    vi.stubEnv('DATABASE_URL', url);
    expect(refusal({})).toMatch(/DATABASE_URL \(environment\): /);
  });

  it('may have an @ in a parameter', () => {
    expect(resolve({ url: 'postgres://db/shop?user=me@tenant' }).target.user).toBe('me@tenant');
  });

  it.each([
    ['target_session_attrs=writable', /target_session_attrs: "writable" is not allowed; any, read-write, read-only/],
    ['load_balance_hosts=yes', /load_balance_hosts: "yes" is not allowed; disable or random/],
    ['hostaddr=sup3r-s3cret', /hostaddr: the first of 1 is no address/],
    ['hostaddr=10.0.0.1,10.0.0.2', /hostaddr: 2 for 1 hosts; one for each/],
    ['schema=tenant', /schema: not supported in a URL; use session: \{ search_path: 'name' \}/],
    ['connection_limit=5', /use size and maxOverflow, in the options/],
    ['pgbouncer=true', /preparedStatements: false/],
    ['replication=database', /a pool has no use for replication/],
    ['tcp_user_timeout=5', /Node leaves it to the system/],
    ['sslmod=require', /sslmod: no such parameter; did you mean sslmode\?/],
    ['sslmode=allow', /sslmode: "allow" is not allowed; disable, prefer/],
    ['sslmode=full', /sslmode: "full" is not allowed/],
    ['statement_timeout=5 parsecs', /statement_timeout: "5 parsecs" is not allowed; milliseconds, or a time like 5s/],
    ['connect_timeout=soon', /connect_timeout: "soon" is not allowed; whole seconds/],
    ['sslmode=postgres://a:sup3r-s3cret@b', /sslmode: a text of \d+ characters is not allowed; disable, prefer/],
    ['nonsense=sup3r-s3cret', /a parameter that nobody reads; settings of the server go into session/],
    ['sup3r-s3cret', /a parameter that nobody reads/],
    ['sslmode=require&ssl=false', /ssl=false contradicts sslmode=require/],
    ['ssl=true&ssl=false', /ssl: given twice/],
    ['dbname=other', /dbname: the path names another database/],
    ['sslpassword=sup3r-s3cret&options=-c%20app.key%3Dsup3r-s3cret&bogus=1', /nobody reads/],
  ])('with %s is refused by name', (parameters, words) => {
    expect(refusal({ url: `${URL}?${parameters}` })).toMatch(words);
    expect(refusal({ connection: { connectionString: `${URL}?${parameters}` } })).toMatch(words);
  });

  it('may ask for what happens anyway', () => {
    const harmless = 'target_session_attrs=any&gssencmode=disable&load_balance_hosts=disable&sslcompression=0';
    expect(resolve({ url: `${URL}?${harmless}` }).clientConfig).not.toHaveProperty('target_session_attrs');
  });

  it('gives what libpq’s parameters mean', () => {
    const url =
      'postgres://db?dbname=shop&keepalives=0&keepalives_idle=7&fallback_application_name=back&connect_timeout=3';
    const { clientConfig, connectTimeoutMs, applicationName, target } = resolve({ url });
    expect(clientConfig).toMatchObject({ keepAlive: false, keepAliveInitialDelayMillis: 7_000 });
    expect([target.database, connectTimeoutMs, applicationName]).toEqual(['shop', 3_000, 'back']);
    expect(resolve({ url: `${URL}?connect_timeout=0` }).connectTimeoutMs).toBe(2_147_483_647);
    for (const [binding, asked] of Object.entries({ disable: false, prefer: true, require: true })) {
      const resolved = resolve({ url: `${URL}?channel_binding=${binding}` });
      expect(resolved.clientConfig.enableChannelBinding).toBe(asked);
      expect(resolved.bindsChannel).toBe(binding === 'require');
    }
  });
});

describe('TLS', () => {
  const ca = 'an authority of its own';

  it('of the URL is merged with connection.ssl field by field', () => {
    const given = { connection: { ssl: { ca, servername: 'inner' } } };
    expect(tlsOf(resolve({ url: `${URL}?sslmode=verify-full`, ...given }))).toEqual({ ca, servername: 'inner' });
    expect(tlsOf(resolve({ url: `${URL}?sslmode=require`, ...given }))).toEqual({ ca, servername: 'inner' });
    expect(tlsOf(resolve({ url: `${URL}?sslrootcert=${folder}/ca.pem`, ...given }))).toEqual({
      ca: 'the authority',
      servername: 'inner',
    });
    const more = `sslkey=${folder}/key.pem&sslpassword=word&ssl_min_protocol_version=TLSv1.3&sslcrl=${folder}/ca.pem`;
    expect(tlsOf(resolve({ url: `${URL}?${more}`, ...given }))).toEqual({
      ca,
      servername: 'inner',
      key: 'the key',
      passphrase: 'word',
      minVersion: 'TLSv1.3',
      crl: 'the authority',
    });
    expect(tlsOf(resolve({ url: `${URL}?sslrootcert=system&sslmode=verify-full` }))).toEqual({});
  });

  it.each([
    ['sslmode=disable', { ca }, /connection\.ssl: connection\.ssl asks for TLS and the URL turns it off/],
    ['ssl=0', true, /turns it off/],
    ['sslmode=require', false, /the URL asks for TLS and connection\.ssl turns it off/],
    ['sslmode=verify-full', { rejectUnauthorized: false }, /rejectUnauthorized: false contradicts sslmode=verify-full/],
    ['sslmode=no-verify', { rejectUnauthorized: true }, /rejectUnauthorized: true contradicts sslmode=no-verify/],
  ])('that contradicts itself is refused: %s', (parameters, ssl, words) => {
    expect(refusal({ url: `${URL}?${parameters}`, connection: { ssl } })).toMatch(words);
  });

  it('shows neither key nor passphrase, however it is printed', () => {
    const ssl = { key: SECRET, passphrase: SECRET, pfx: SECRET };
    const { clientConfig } = resolve({ url: URL, connection: { ssl } });
    for (const shown of [
      inspect(clientConfig, { depth: 9 }),
      JSON.stringify(clientConfig),
      inspect(new pg.Client(clientConfig)),
    ]) {
      expect(shown).not.toContain(SECRET);
    }
    expect(tlsOf(resolve({ url: URL, connection: { ssl } }))).toEqual(ssl);
  });
});

describe('settings of the server', () => {
  it.each([
    ['5000', 5_000],
    ['5s', 5_000],
    [' 1.5 min ', 90_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['1500us', 2],
    ['0', 0],
    ['5S', undefined],
    ['-1', undefined],
    ['60d', undefined],
    ['', undefined],
  ])('read the time %j as the server does', (given, milliseconds) => {
    expect(serverMilliseconds(given)).toBe(milliseconds);
  });

  it('are found in options in every form', () => {
    const options = String.raw`-c statement_timeout=5s -cTimeZone=Europe/Rome --work-mem=4MB -c app.name=a\ b\\c -d 5 endpoint=x -c`;
    expect(Object.fromEntries(settingsOf(options))).toEqual({
      statement_timeout: '5s',
      timezone: 'Europe/Rome',
      work_mem: '4MB',
      'app.name': 'a b\\c',
    });
  });

  it('that options, the URL or the environment names win over our defaults', () => {
    const named = (options: DatabaseOptions): Record<string, string> =>
      Object.fromEntries(sessionSettings(resolve(options)));
    const options = '-c statement_timeout=5000 -c timezone=Asia/Tokyo';
    for (const given of [
      { url: `${URL}?options=${encodeURIComponent(options)}` },
      { url: URL, connection: { options } },
    ]) {
      expect(named(given)).toEqual({ statement_timeout: '5000' });
      expect(resolve(given).clientConfig.options).toBe(options);
    }
    vi.stubEnv('PGOPTIONS', options);
    expect(named({ url: URL })).toEqual({ statement_timeout: '5000' });
    expect(named({ url: URL, session: { timezone: 'UTC' }, statementTimeoutMs: 7 })).toEqual({
      statement_timeout: '7',
      timezone: 'UTC',
    });
    vi.stubEnv('PGOPTIONS', undefined);
    expect(named({ url: `${URL}?statement_timeout=5s` })).toMatchObject({ statement_timeout: '5000', timezone: 'UTC' });
    expect(named({ url: URL, connection: connection({ statement_timeout: '1min' }) })).toMatchObject({
      statement_timeout: '60000',
    });
    expect(named({ url: URL, connection: { statement_timeout: false } })).toEqual({ timezone: 'UTC' });
    expect(named({ url: `${URL}?options=-c%20statement_timeout%3Dsomething` })).toEqual({ timezone: 'UTC' });
  });
});

describe('the environment', () => {
  it.each([
    ['PGPORT', 'five', /PGPORT \(environment\): "five" is not allowed; a port from 1 to 65535/],
    ['PGSSLMODE', 'allow', /PGSSLMODE \(environment\): "allow" is not allowed/],
    ['PGCONNECT_TIMEOUT', '5s', /PGCONNECT_TIMEOUT \(environment\): "5s" is not allowed; whole seconds/],
    ['PGHOST', 'a,', /PGHOST, PGPORT, PGHOSTADDR \(environment\): host: the second of 2 is no name of a host/],
    ['PGHOSTADDR', 'somewhere', /PGHOSTADDR \(environment\): hostaddr: the first of 1 is no address/],
    ['PGLOADBALANCEHOSTS', 'on', /PGLOADBALANCEHOSTS \(environment\): "on" is not allowed; disable, random/],
    ['PGSERVICE', 'shop', /PGSERVICE \(environment\): not supported/],
    ['PGTARGETSESSIONATTRS', 'rw', /PGTARGETSESSIONATTRS \(environment\): "rw" is not allowed; any, read-write/],
    ['PGREQUIREAUTH', 'scram-sha-256', /PGREQUIREAUTH \(environment\): not supported/],
    ['PGGSSENCMODE', 'require', /PGGSSENCMODE \(environment\): not supported/],
  ])('is refused by name where it asks for what cannot be had: %s=%s', (name, value, words) => {
    vi.stubEnv(name, value);
    expect(refusal({})).toMatch(words);
  });

  it('that chooses a host is of no interest where the options name one', () => {
    vi.stubEnv('PGSERVICE', 'shop');
    vi.stubEnv('PGHOST', 'a,b');
    vi.stubEnv('PGHOSTADDR', '10.0.0.1');
    expect(resolve({ url: URL }).target.host).toBe('db.example.com');
  });

  it('is honoured where libpq’s variables name files and times', () => {
    vi.stubEnv('PGSSLMODE', 'verify-full');
    vi.stubEnv('PGSSLROOTCERT', join(folder, 'ca.pem'));
    vi.stubEnv('PGSSLKEY', join(folder, 'key.pem'));
    vi.stubEnv('PGCONNECT_TIMEOUT', '4');
    const resolved = resolve({});
    expect(tlsOf(resolved)).toEqual({ ca: 'the authority', key: 'the key' });
    expect(resolved.connectTimeoutMs).toBe(4_000);
    vi.stubEnv('PGSSLROOTCERT', '/no/such/file');
    expect(refusal({})).toMatch(/PGSSLROOTCERT \(environment\): ENOENT/);
    expect(tlsOf(resolve({ url: `${URL}?sslmode=disable` }))).toBe(false);
  });

  it('is followed by pg.defaults', () => {
    const before = { host: pg.defaults.host, statement_timeout: pg.defaults.statement_timeout };
    onTestFinished(() => void Object.assign(pg.defaults, before));
    Object.assign(pg.defaults, { host: 'by-default', statement_timeout: 1_234 });
    expect(resolve({ connection: { user: 'me' } })).toMatchObject({
      target: { host: 'by-default' },
      statementTimeoutMs: 1_234,
    });
  });
});

describe('no secret is shown', () => {
  it.each<[string, object]>([
    ['a URL as the preset', { preset: URL }],
    ['a URL as the start-up', { startup: URL }],
    ['a URL as the application’s name', { applicationName: [URL] }],
    ['a key as the reset', { reset: `sk_live_${SECRET}_0123456789` }],
    ['a setting that is an object', { session: { 'app.key': { value: SECRET } } }],
    ['a URL as the name of an option', { [URL]: 1 }],
    ['an assignment', { log: [`password=${SECRET}`] }],
    ['a password that isn’t one', { connection: { password: [SECRET] } }],
    ['a user', { connection: { user: [SECRET], database: { name: SECRET } } }],
    ['options', { connection: { options: [SECRET] } }],
    ['TLS', { connection: { ssl: SECRET } }],
  ])('in a refusal of %s', (_what, options) => {
    expect(refusal({ url: URL, ...options } as DatabaseOptions)).toMatch(/is not allowed|no such option/);
  });

  it('in the options that are there to be looked at', () => {
    const session = { timezone: 'UTC', 'app.tenant_key': SECRET };
    const resolved = resolve({ url: `${URL}?options=-c%20app.key%3D${SECRET}`, session });
    expect(JSON.parse(JSON.stringify(resolved.session))).toEqual({ timezone: 'UTC', 'app.tenant_key': '[given]' });
    expect(resolved.session).toEqual(session);
    for (const shown of [
      inspect(resolved, { depth: 9 }),
      JSON.stringify(resolved),
      inspect(pgOptionsOf(resolved), { depth: 9 }),
    ]) {
      expect(shown).not.toContain(SECRET);
    }
    expect(pgOptionsOf(resolved)).toHaveProperty('options', `-c app.key=${SECRET}`);
  });
});
