import {
  anything,
  arrayOf,
  boolean,
  durationMs,
  either,
  func,
  integer,
  isPlainObject,
  number,
  object,
  oneOf,
  recordOf,
  rule,
  string,
  type Rule,
  type Rules,
} from '../core/validation.js';
import { tlsNegotiationRule, urlProblem } from './connection-options.js';
import type { DatabaseOptions } from './options.js';

/** PostgreSQL's time-outs are 32-bit milliseconds. */
const LONGEST_SERVER_TIMEOUT_MS = 2_147_483_647;

const urlRule: Rule = {
  allowed: 'a URL like postgres://user:password@host:5432/database',
  problems: (path, value) => {
    const problem = value === undefined ? undefined : urlProblem(value);
    return problem === undefined ? [] : [`${path}: ${problem}`];
  },
};

const connectionRule: Rule = {
  allowed: 'an object with fields of pg.ClientConfig',
  problems: (path, value) => {
    if (value === undefined) return [];
    if (!isPlainObject(value)) return [`${path}: ${typeof value} is not allowed; ${connectionRule.allowed}`];
    const fields: Record<string, Rule> = {
      host: string(),
      port: integer({ min: 1, max: 65_535 }),
      user: string(),
      database: string(),
      connectionString: urlRule,
      keepAlive: boolean(),
      sslnegotiation: tlsNegotiationRule,
      application_name: string({ empty: true }),
    };
    const problems = Object.entries(fields).flatMap(([name, each]) => each.problems(`${path}.${name}`, value[name]));
    const { password } = value;
    if (password !== undefined && password !== null && typeof password !== 'string' && typeof password !== 'function') {
      problems.push(`${path}.password: a ${typeof password} is not allowed; a string or a function that gives one`);
    }
    return problems;
  },
};

const serverTimeout = (): Rule => integer({ min: 0, max: LONGEST_SERVER_TIMEOUT_MS });

/** What each option may be. */
export const DATABASE_RULES: Rules<DatabaseOptions> = {
  url: urlRule,
  connection: connectionRule,
  preset: oneOf('small', 'medium', 'high'),
  size: integer({ min: 1 }),
  maxOverflow: integer(),
  minIdle: integer(),
  acquireTimeoutMs: durationMs({ min: 1 }),
  connectTimeoutMs: durationMs({ min: 1 }),
  idleTimeoutMs: durationMs({ zero: 'never' }),
  maxLifetimeMs: durationMs({ zero: 'never' }),
  lifetimeJitter: number({ min: 0, max: 1 }),
  maxUses: integer(),
  prePing: either(boolean(), object({ idleMs: durationMs(), timeoutMs: durationMs({ min: 1 }) })),
  keepAliveMs: durationMs({ zero: 'never' }),
  maxWaiting: integer(),
  maxConnecting: integer({ min: 1 }),
  queryTimeoutMs: durationMs({ zero: 'none' }),
  statementTimeoutMs: serverTimeout(),
  lockTimeoutMs: serverTimeout(),
  idleInTransactionTimeoutMs: serverTimeout(),
  session: recordOf(
    rule('a string, a number, true or false', (value) => ['string', 'number', 'boolean'].includes(typeof value)),
  ),
  onConnect: func(),
  onAcquire: func(),
  reset: either(oneOf('rollback', 'discard', 'none'), func()),
  leakDetectionMs: durationMs({ zero: 'off' }),
  slowAcquireMs: durationMs({ zero: 'off' }),
  slowQueryMs: durationMs({ zero: 'off' }),
  preparedStatements: either(boolean(), object({ max: integer({ min: 1 }) })),
  pipelining: either(oneOf(false), object({ depth: integer({ min: 1 }) })),
  plugins: arrayOf(anything()),
  log: either(func(), arrayOf(oneOf('query', 'error'))),
  applicationName: string(),
  startup: oneOf('lazy', 'warm', 'required'),
};
