import { PoolOptionsError } from '../../core/errors.js';
import { nameOfHost } from './host-options.js';
import { resolveDatabaseOptions, type DatabaseOptions, type ResolvedDatabaseOptions } from './options.js';

const URL = 'postgres://someone:secret@db.example.com:6543/shop';

beforeEach(() => {
  for (const name of ['DATABASE_URL', 'PGHOST', 'PGPORT', 'PGHOSTADDR', 'PGTARGETSESSIONATTRS', 'PGLOADBALANCEHOSTS'])
    vi.stubEnv(name, undefined);
});
afterEach(() => vi.unstubAllEnvs());

function resolve(options: DatabaseOptions): ResolvedDatabaseOptions {
  return resolveDatabaseOptions('orders', options);
}

function refusal(options: DatabaseOptions): string {
  try {
    resolve(options);
  } catch (error) {
    expect(error).toBeInstanceOf(PoolOptionsError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

describe('a URL', () => {
  it.each([
    ['postgres://me:x@a:5432,b:5433/shop', ['a:5432', 'b:5433']],
    ['postgres://me:x@a,b:5433,[::1],[fe80::1]:6543/shop', ['a:5432', 'b:5433', '[::1]:5432', '[fe80::1]:6543']],
    ['postgres://me:x@/shop?host=a,b', ['a:5432', 'b:5432']],
    ['postgres://me:x@/shop?host=a,b&port=6000', ['a:6000', 'b:6000']],
    ['postgres://me:x@/shop?host=a,/var/run/pg&port=6000,', ['a:6000', '/var/run/pg:5432']],
    ['postgres://me:x@%2Fvar%2Frun,b/shop', ['/var/run:5432', 'b:5432']],
    ['postgres://me:x@c/shop?host=a,b', ['a:5432', 'b:5432']],
  ])('may name several hosts: %s', (url, names) => {
    const resolved = resolve({ url });
    expect(resolved.hosts.map(nameOfHost)).toEqual(names);
    expect(resolved.target).toMatchObject({ ...resolved.hosts[0], user: 'me', database: 'shop' });
    expect(resolved.clientConfig).toMatchObject({ host: resolved.hosts[0]?.host, port: resolved.hosts[0]?.port });
    expect(resolved).toMatchObject({
      targetSessionAttrs: 'read-write',
      loadBalanceHosts: 'disable',
      hostRecheckMs: 10_000,
    });
  });

  it('may give the addresses of hosts, which aren’t looked up then, and the role that is wanted', () => {
    const url =
      'postgres://a,b/shop?hostaddr=10.0.0.1,10.0.0.2&target_session_attrs=prefer-standby&load_balance_hosts=random';
    expect(resolve({ url })).toMatchObject({
      hosts: [
        { host: 'a', port: 5432, address: '10.0.0.1' },
        { host: 'b', port: 5432, address: '10.0.0.2' },
      ],
      targetSessionAttrs: 'prefer-standby',
      loadBalanceHosts: 'random',
    });
    expect(resolve({ url, targetSessionAttrs: 'any', loadBalanceHosts: 'disable' })).toMatchObject({
      targetSessionAttrs: 'any',
      loadBalanceHosts: 'disable',
    });
    expect(resolve({ url: `${URL}?target_session_attrs=read-write` }).targetSessionAttrs).toBe('read-write');
    expect(resolve({ url: URL }).targetSessionAttrs).toBe('any');
  });

  it.each([
    ['postgres://me:sup3r-s3cret@a:5432,b:x/shop', /host: the second is neither a name nor/],
    ['postgres://me:sup3r-s3cret@a:5432,:5433/shop', /host: the second of 2 is no name of a host/],
    ['postgres://me:sup3r-s3cret@a,b:99999,c/shop', /port: the second of 3 is not from 1 to 65535/],
    ['postgres://me:sup3r-s3cret@a,%zz/shop', /host: the second holds a % that begins no character/],
    ['postgres://me:sup3r-s3cret@/shop?host=a,b,c&port=1,2', /port: 2 for 3 hosts; one for all, or one for each/],
    [
      'postgres://me:sup3r-s3cret@a,b/shop?target_session_attrs=master',
      /target_session_attrs: "master" is not allowed/,
    ],
  ])('with a host that makes no sense says which: %s', (url, words) => {
    expect(refusal({ url })).toMatch(words);
    expect(refusal({ url })).not.toContain('sup3r-s3cret');
    vi.stubEnv('DATABASE_URL', url);
    expect(refusal({})).toMatch(words);
  });
});

describe('the environment', () => {
  it('may name several hosts, and the role that is wanted', () => {
    vi.stubEnv('PGHOST', 'a,b');
    vi.stubEnv('PGPORT', '6000,');
    vi.stubEnv('PGHOSTADDR', '10.0.0.1,');
    vi.stubEnv('PGTARGETSESSIONATTRS', 'standby');
    vi.stubEnv('PGLOADBALANCEHOSTS', 'random');
    expect(resolve({})).toMatchObject({
      hosts: [
        { host: 'a', port: 6_000, address: '10.0.0.1' },
        { host: 'b', port: 5_432 },
      ],
      targetSessionAttrs: 'standby',
      loadBalanceHosts: 'random',
    });
    expect(refusal({ url: URL })).toMatch(/PGPORT \(environment\): a list is not allowed/);
    vi.stubEnv('PGHOST', undefined);
    vi.stubEnv('PGPORT', undefined);
    expect(resolve({ url: URL }).hosts).toEqual([{ host: 'db.example.com', port: 6_543 }]);
    vi.stubEnv('PGHOSTADDR', '10.0.0.1');
    expect(resolve({}).hosts).toEqual([{ host: '10.0.0.1', port: 5_432, address: '10.0.0.1' }]);
  });
});

describe('the option hosts', () => {
  it('names hosts with their ports, and takes the rest from the URL', () => {
    const hosts = [{ host: 'a' }, { host: 'b', port: 5_433 }];
    const resolved = resolve({ url: 'postgres://me:x@/shop', hosts });
    expect(resolved).toMatchObject({
      hosts: [
        { host: 'a', port: 5_432 },
        { host: 'b', port: 5_433 },
      ],
      target: { host: 'a', port: 5_432, user: 'me', database: 'shop' },
      targetSessionAttrs: 'read-write',
      addressFrom: 'options',
    });
    expect(resolve({ url: 'postgres://me:x@b:5433/shop', hosts }).target.host).toBe('a');
    expect(resolve({ hosts: [{ host: 'a' }] }).targetSessionAttrs).toBe('any');
  });

  it('may be a function, whose place the hosts of the URL take while it hasn’t answered', () => {
    const find = (): [] => [];
    const resolved = resolve({ url: 'postgres://me:x@seed/shop', hosts: find });
    expect(resolved.findHosts).toBe(find);
    expect(resolved).toMatchObject({ hosts: [{ host: 'seed', port: 5_432 }], targetSessionAttrs: 'read-write' });
  });

  it.each([
    [[], /hosts: an array is not allowed; a function, or an array of { host, port }, not an empty one/],
    ['a,b', /hosts: "a,b" is not allowed; a function, or an array of/],
    [[{ host: 'a,b' }], /hosts\[0\]\.host: this is not allowed; the name of one host/],
    [[{ host: 'a' }, { host: 'sup3r:s3cret@b' }], /hosts\[1\]\.host: this is not allowed/],
    [[{ host: 'a', port: 0 }], /hosts\[0\]\.port: 0 is not allowed; an integer from 1 to 65535/],
    [[{ host: 'a', user: 'me' }], /hosts\[0\]: a name that is neither host nor port/],
    [[{ host: 'a' }, { host: 'a', port: 5_432 }], /hosts\[1\]: a:5432 is given twice/],
  ])('of %j is refused', (hosts, words) => {
    const message = refusal({ url: 'postgres://me:x@/shop', hosts: hosts as never });
    expect(message).toMatch(words);
    expect(message).not.toContain('sup3r');
  });

  it('refuses an address that names a host which is none of them', () => {
    expect(refusal({ url: URL, hosts: [{ host: 'a' }] })).toMatch(
      /hosts: the address names db\.example\.com:6543, which is none of them; list all/,
    );
    vi.stubEnv('DATABASE_URL', 'postgres://me:x@other/shop');
    expect(refusal({ hosts: [{ host: 'a' }] })).toMatch(/hosts: DATABASE_URL names other:5432/);
  });
});
