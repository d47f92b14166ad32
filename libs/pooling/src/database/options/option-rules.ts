import { MOST_TAGS } from './query-comments.js';
import {
  anything,
  arrayOf,
  boolean,
  durationMs,
  either,
  func,
  integer,
  isPlainObject,
  LONGEST_DELAY_MS,
  number,
  object,
  oneOf,
  recordOf,
  refusal,
  rule,
  secret,
  string,
  type Rule,
  type Rules,
} from '../../core/validation.js';
import { connectionNameProblems } from './connection-options.js';
import { urlProblems } from './connection-url.js';
import { DATABASE_DEFAULTS } from './database-defaults.js';
import type { DatabaseOptions } from './database-options.js';
import { hostsRule, isHostName, LOAD_BALANCE_HOSTS, TARGET_SESSION_ATTRS } from './host-options.js';
import { negotiatesDirectTls } from '../pg-internals.js';
import { replicasRule } from './replica-options.js';
import { LONGEST_SERVER_TIMEOUT_MS, serverMilliseconds } from './server-settings.js';
import { tlsProblems } from './tls-settings.js';

/** How TLS may begin: `direct`, without asking the server first, needs a pg that knows of it. */
const tlsNegotiationRule = rule(
  '"postgres", or "direct" with pg 8.22 or later',
  (value) => value === 'postgres' || (value === 'direct' && negotiatesDirectTls()),
);

const urlRule: Rule = {
  allowed: 'a URL like postgres://user:password@host:5432/database',
  problems: (path, value) => (value === undefined ? [] : urlProblems(value).map((problem) => `${path}: ${problem}`)),
};

const CONNECTION_ALLOWED = 'an object with fields of pg.ClientConfig';

/** `false` as well, by which pg means none. */
const orFalse = (inner: Rule): Rule => either(oneOf(false), inner);
const serverTime = rule(
  'milliseconds, or a time like "5s" or "1min"',
  (value) => serverMilliseconds(value) !== undefined,
);

const connectionFields: Readonly<Record<string, Rule>> = {
  host: secret(
    rule(
      'the name of one host, an address, or the folder of a socket; hosts, beside connection, takes several',
      isHostName,
    ),
  ),
  port: rule('a port from 1 to 65535', (value) => {
    const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
    return Number.isInteger(number) && (number as number) >= 1 && (number as number) <= 65_535;
  }),
  user: secret(string()),
  database: secret(string()),
  connectionString: urlRule,
  keepAlive: boolean(),
  keepAliveInitialDelayMillis: durationMs(),
  enableChannelBinding: boolean(),
  sslnegotiation: tlsNegotiationRule,
  application_name: secret(string({ empty: true })),
  fallback_application_name: secret(string({ empty: true })),
  client_encoding: rule('"UTF8": pg speaks no other', (value) => {
    return typeof value === 'string' && /^(?:utf-?8|unicode)?$/i.test(value);
  }),
  options: secret(string({ empty: true })),
  statement_timeout: orFalse(serverTime),
  lock_timeout: orFalse(serverTime),
  idle_in_transaction_session_timeout: orFalse(serverTime),
  query_timeout: orFalse(wholeNumber(1)),
  connectionTimeoutMillis: wholeNumber(1),
  connect_timeout: wholeNumber(1_000),
};

/** A number, or its digits, as pg takes it. */
function wholeNumber(unitMs: number): Rule {
  const longest = Math.floor(LONGEST_DELAY_MS / unitMs);
  return rule(`a whole number from 0 to ${longest}`, (value) => {
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    return Number.isInteger(number) && (number as number) >= 0 && (number as number) <= longest;
  });
}

const connectionRule: Rule = {
  allowed: CONNECTION_ALLOWED,
  problems: (path, value) => {
    if (value === undefined) return [];
    if (!isPlainObject(value)) return [`${path}: ${typeof value} is not allowed; ${CONNECTION_ALLOWED}`];
    const problems = connectionNameProblems(path, value);
    for (const [name, each] of Object.entries(connectionFields)) {
      problems.push(...each.problems(`${path}.${name}`, value[name] ?? undefined));
    }
    problems.push(...tlsProblems(`${path}.ssl`, value['ssl']));
    const { password } = value;
    if (password !== undefined && password !== null && typeof password !== 'string' && typeof password !== 'function') {
      problems.push(`${path}.password: a ${typeof password} is not allowed; a string or a function that gives one`);
    }
    return problems;
  },
};

/** Whether the URL and `connection` are valid each by itself, so that they can be merged. */
export function canBeMerged(url: unknown, connection: unknown): boolean {
  return urlRule.problems('', url).length === 0 && connectionRule.problems('', connection).length === 0;
}

const serverTimeout = (): Rule => integer({ min: 0, max: LONGEST_SERVER_TIMEOUT_MS });

const budgetFields = object({
  connections: integer({ min: 1 }),
  min: integer({ min: 1 }),
  checkMs: durationMs({ min: 100 }),
});

const budgetRule: Rule = {
  allowed: budgetFields.allowed,
  problems: (path, value) => {
    const problems = budgetFields.problems(path, value);
    if (value === undefined || problems.length > 0) return problems;
    const { connections, min = DATABASE_DEFAULTS.budget.min } = value as { connections?: number; min?: number };
    if (connections === undefined)
      return [`${path}.connections: is missing; the connections of all processes together`];
    if (min <= connections) return [];
    return [`${path}.min: ${min} is not allowed; an integer from 1 to connections (${connections})`];
  },
};

const tags = recordOf(string());
const queryCommentsRule: Rule = {
  allowed: tags.allowed,
  problems: (path, value) => {
    const problems = tags.problems(path, value);
    if (problems.length > 0 || value === undefined) return problems;
    const count = Object.keys(value as object).length;
    return count <= MOST_TAGS ? [] : [refusal(path, `${count} tags`, `${MOST_TAGS} at the most`)];
  },
};

/** What each option of one pool may be. */
const POOL_RULES: Rules<Omit<DatabaseOptions, 'replicas'>> = {
  url: urlRule,
  connection: connectionRule,
  hosts: hostsRule,
  targetSessionAttrs: oneOf(...TARGET_SESSION_ATTRS),
  loadBalanceHosts: oneOf(...LOAD_BALANCE_HOSTS),
  hostRecheckMs: durationMs({ min: 1 }),
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
  quickReserve: integer(),
  queryTimeoutMs: durationMs({ zero: 'none' }),
  statementTimeoutMs: serverTimeout(),
  streamIdleTimeoutMs: durationMs({ zero: 'none' }),
  lockTimeoutMs: serverTimeout(),
  idleInTransactionTimeoutMs: serverTimeout(),
  session: recordOf(
    secret(
      rule('a string, a number, true or false', (value) => ['string', 'number', 'boolean'].includes(typeof value)),
    ),
  ),
  onConnect: func(),
  onAcquire: func(),
  reset: either(oneOf('rollback', 'discard', 'none'), func()),
  leakDetectionMs: durationMs({ zero: 'off' }),
  slowAcquireMs: durationMs({ zero: 'off' }),
  slowQueryMs: durationMs({ zero: 'off' }),
  slowQueryPlan: boolean(),
  queryComments: queryCommentsRule,
  preparedStatements: either(boolean(), object({ max: integer({ min: 1 }) })),
  pipelining: either(oneOf(false), object({ depth: integer({ min: 1 }) })),
  plugins: arrayOf(anything()),
  log: either(func(), arrayOf(oneOf('query', 'error'))),
  applicationName: string(),
  budget: budgetRule,
  startup: oneOf('lazy', 'warm', 'required'),
};

/** What each option may be. */
export const DATABASE_RULES: Rules<DatabaseOptions> = { ...POOL_RULES, replicas: replicasRule(POOL_RULES) };
