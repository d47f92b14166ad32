import { PoolOptionsError } from './errors.js';
import {
  arrayOf,
  boolean,
  durationMs,
  either,
  func,
  integer,
  number,
  object,
  oneOf,
  optionProblems,
  recordOf,
  refuseProblems,
  required,
  secret,
  string,
} from './validation.js';

const rules = {
  limit: integer(),
  depth: integer({ min: 1, max: 64 }),
  share: number({ min: 0, max: 1 }),
  keepAliveMs: durationMs({ zero: 'never' }),
  http2: boolean(),
  baseUrl: string(),
  onConnect: func(),
  mode: oneOf('lazy', 'warm'),
  tags: arrayOf(string()),
  headers: recordOf(secret(string())),
  password: secret(string()),
  retry: either(oneOf(false), object({ attempts: integer(), share: number({ min: 0, max: 1 }) })),
  timeouts: object({ totalMs: durationMs(), readMs: durationMs() }),
};

describe('option validation', () => {
  it('accepts options that are right, and options that are left out', () => {
    expect(optionProblems(rules, {})).toEqual([]);
    expect(
      optionProblems(rules, {
        limit: 0,
        depth: 64,
        share: 0.5,
        keepAliveMs: 1.5,
        http2: false,
        baseUrl: 'http://a',
        onConnect: () => {},
        mode: 'warm',
        tags: ['a'],
        headers: { authorization: 'Bearer secret' },
        password: 'secret',
        retry: { attempts: 1 },
        timeouts: { totalMs: undefined, readMs: 0 },
      }),
    ).toEqual([]);
    expect(optionProblems(rules, { retry: false })).toEqual([]);
  });

  it('names the path, the value received and what is allowed, for every wrong option at once', () => {
    expect(
      optionProblems(rules, {
        limit: -1,
        depth: 65,
        share: NaN,
        keepAliveMs: 2 ** 31,
        http2: 'yes',
        baseUrl: '',
        onConnect: null,
        mode: 'cold',
        tags: ['a', 3],
        timeouts: { totalMs: '30s', readMs: -5 },
      }),
    ).toEqual([
      'limit: -1 is not allowed; an integer ≥ 0',
      'depth: 65 is not allowed; an integer from 1 to 64',
      'share: NaN is not allowed; a number from 0 to 1',
      'keepAliveMs: 2147483648 is not allowed; milliseconds from 0 to 2147483647 (0: never)',
      'http2: "yes" is not allowed; true or false',
      'baseUrl: "" is not allowed; a string that is not empty',
      'onConnect: null is not allowed; a function',
      'mode: "cold" is not allowed; "lazy" or "warm"',
      'tags[1]: 3 is not allowed; a string that is not empty',
      'timeouts.totalMs: "30s" is not allowed; milliseconds from 0 to 2147483647',
      'timeouts.readMs: -5 is not allowed; milliseconds from 0 to 2147483647',
    ]);
  });

  it('refuses a number given as a string, as environment variables give it', () => {
    expect(optionProblems(rules, { limit: '10' })).toEqual(['limit: "10" is not allowed; an integer ≥ 0']);
  });

  it('says which known name an unknown one was probably meant to be', () => {
    expect(optionProblems(rules, { limits: 3, keepAlive: 1, timeOuts: {}, timeouts: { total: 1 } })).toEqual([
      'limits: no such option; did you mean limit?',
      'keepAlive: no such option; did you mean keepAliveMs?',
      'timeOuts: no such option; did you mean timeouts?',
      'timeouts.total: no such option; did you mean totalMs?',
    ]);
    expect(optionProblems(rules, { timeouts: { zebra: 1 } })).toEqual([
      'timeouts.zebra: no such option; known: totalMs, readMs',
    ]);
  });

  it('takes for a slip only what differs by one: not a longer name that begins alike, nor one with another word', () => {
    const known = { maxUses: integer(), connection: string(), idleTimeoutMs: integer(), min: integer() };
    const hintFor = (name: string): string => optionProblems(known, { [name]: 1 }).join();
    expect(hintFor('max')).not.toContain('maxUses?');
    expect(hintFor('connectionString')).toBe(
      'connectionString: no such option; known: maxUses, connection, idleTimeoutMs, min',
    );
    expect(hintFor('idle_timeout_millis')).toContain('did you mean idleTimeoutMs?');
    expect(hintFor('idleTimeoutSeconds')).toContain('did you mean idleTimeoutMs?');
    expect(optionProblems(known, { max: 1 }, { max: 'use min' })).toEqual(['max: no such option; use min']);
  });

  it('looks at own names only', () => {
    expect(optionProblems(rules, { toString: 1, constructor: 2 })).toHaveLength(2);
  });

  it('reports what is wrong inside an alternative rather than that no alternative fits', () => {
    expect(optionProblems(rules, { retry: { attempts: 1.5 } })).toEqual([
      'retry.attempts: 1.5 is not allowed; an integer ≥ 0',
    ]);
    expect(optionProblems(rules, { retry: true })).toEqual([
      'retry: true is not allowed; false, or an object with attempts, share',
    ]);
  });

  it('never shows a secret, nor the fields of an object', () => {
    const problems = optionProblems(rules, {
      password: ['hunter2'],
      headers: { authorization: { hunter: 'hunter2' } },
      limit: { password: 'hunter2' },
    }).join('\n');
    expect(problems).not.toContain('hunter2');
    expect(problems).toContain('password: an array is not allowed; a string that is not empty');
    expect(problems).toContain('headers.authorization: an object is not allowed; a string that is not empty');
    expect(problems).toContain('limit: an object is not allowed; an integer ≥ 0');
  });

  it.each([
    ['postgres://someone:hunter2@db/shop'],
    ['password=hunter2'],
    ['someone:hunter2@db'],
    ['-----BEGIN PRIVATE KEY-----hunter2'],
    ['sk_live_hunter2_0123456789abcdef'],
    ['eyJhbGciOiJIUzI1NiJ9.hunter2'],
    [`${'a long text '.repeat(9)}hunter2`],
    ['hunter2\nand more'],
  ])('shows only how long a text is that may be a secret in the wrong place: %j', (text) => {
    const problems = optionProblems(rules, { limit: text, retry: text, [text]: 1 }).join('\n');
    expect(problems).toContain(`limit: a text of ${text.length} characters is not allowed; an integer ≥ 0`);
    expect(problems).toContain('a name that is not shown: no such option');
    expect(problems).not.toContain('hunter2');
    expect(optionProblems(rules, text).join()).toBe('the options: a string is not allowed; an object');
  });

  it('says that a required option is missing', () => {
    expect(optionProblems({ name: required(string()) }, {})).toEqual(['name: missing; a string that is not empty']);
    expect(optionProblems({ name: required(string()) }, { name: 'a' })).toEqual([]);
  });

  it('refuses options that are no object', () => {
    expect(optionProblems(rules, null)).toEqual(['the options: null is not allowed; an object']);
    expect(optionProblems(rules, [])).toEqual(['the options: an array is not allowed; an object']);
  });

  it('throws one error that names the pool and lists all problems', () => {
    expect(() => refuseProblems('billing', [])).not.toThrow();
    let thrown: unknown;
    try {
      refuseProblems('billing', ['limit: -1 is not allowed; an integer ≥ 0', 'http3: no such option']);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(PoolOptionsError);
    expect(thrown).toMatchObject({
      code: 'ERR_POOL_OPTIONS_INVALID',
      pool: 'billing',
      message: 'billing: 2 wrong options:\n  - limit: -1 is not allowed; an integer ≥ 0\n  - http3: no such option',
      details: { problems: ['limit: -1 is not allowed; an integer ≥ 0', 'http3: no such option'] },
    });
  });
});
