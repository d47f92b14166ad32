import type { IsolationLevel } from 'kysely';
import {
  anything,
  boolean,
  durationMs,
  either,
  func,
  integer,
  object,
  oneOf,
  optionProblems,
  recordOf,
  refusal,
  refuseProblems,
  required,
  rule,
  showValue,
  string,
  type Rule,
} from '../../../core/validation.js';
import type { RetryTransactionOptions } from '../retries.js';

/**
 * How a call stands to the transaction that it finds. In the words of Spring:
 *
 * | propagation | a transaction is there | there is none |
 * | --- | --- | --- |
 * | `required` | joins it | begins one |
 * | `nested` | a savepoint in it: rolled back alone, committed with the whole | begins one |
 * | `requires-new` | begins another, on a connection of its own | begins one |
 * | `mandatory` | joins it | `ERR_POOL_TRANSACTION_REQUIRED` |
 * | `supports` | joins it | runs without |
 * | `not-supported` | runs outside of it | runs without |
 * | `never` | `ERR_POOL_TRANSACTION_FORBIDDEN` | runs without |
 */
export type Propagation = 'required' | 'requires-new' | 'nested' | 'mandatory' | 'supports' | 'not-supported' | 'never';

/** Settings of PostgreSQL for the time of one transaction: `{ 'app.tenant': 7 }`. */
export type TransactionSettingsMap = Readonly<Record<string, string | number | boolean>>;

/**
 * How a transaction is begun, and how a call stands to one that is there.
 *
 * ```ts
 * class InvoicesService {
 *   @Transactional({ isolationLevel: 'serializable', retry: { attempts: 5 }, timeoutMs: 2_000 })
 *   async close(month: string): Promise<void> {
 *     // …
 *   }
 * }
 * ```
 */
export interface TransactionalOptions {
  /** The name of the database: `default`. With `transactional(db, …)` it is that of `db`. */
  readonly database?: string | undefined;
  /** How the call stands to a running transaction: `required`. */
  readonly propagation?: Propagation | undefined;
  /** Left out: the server's default, which is `read committed` unless somebody has changed it. */
  readonly isolationLevel?: IsolationLevel | undefined;
  /** Left out: the server's default, which is `read write` unless somebody has changed it. */
  readonly accessMode?: 'read only' | 'read write' | undefined;
  /** For `serializable` with `read only`: waits at the start instead of failing later. */
  readonly deferrable?: boolean | undefined;
  /**
   * Made with BEGIN by `set_config(name, value, true)`: nothing of it outlives the transaction, so that it is safe behind
   * PgBouncer, and the way to row-level security. A function is called each time that a transaction begins.
   */
  readonly settings?: TransactionSettingsMap | (() => TransactionSettingsMap) | undefined;
  /** Runs the outermost call again where `retryTransaction` would: `false`; `true`: with the defaults of that. */
  readonly retry?: boolean | RetryTransactionOptions | undefined;
  /**
   * Bounds the call, all tries included; a call that joins is bounded alone. Then the running statement is cancelled and
   * the transaction is rolled back: `ERR_POOL_TRANSACTION_TIMEOUT`. Milliseconds; none by default.
   */
  readonly timeoutMs?: number | undefined;
}

const ISOLATION_LEVELS = ['read uncommitted', 'read committed', 'repeatable read', 'serializable', 'snapshot'];

const ACCESS_MODES = oneOf('read only', 'read write');

const SETTING: Rule = rule('a text, a number or a boolean', (value) =>
  ['string', 'number', 'boolean'].includes(typeof value),
);

/** A setting that is `undefined` would be made so in letters: whoever forgets a tenant hears of it. */
const SETTINGS = recordOf(required(SETTING));

/** A rule for each option. */
export const TRANSACTIONAL_RULES: Readonly<Record<keyof TransactionalOptions, Rule>> = {
  database: string(),
  propagation: oneOf('required', 'requires-new', 'nested', 'mandatory', 'supports', 'not-supported', 'never'),
  isolationLevel: oneOf(...ISOLATION_LEVELS),
  accessMode: ACCESS_MODES,
  deferrable: boolean(),
  settings: either(func(), SETTINGS),
  retry: either(
    boolean(),
    object({
      attempts: integer({ min: 1 }),
      baseDelayMs: durationMs(),
      maxDelayMs: durationMs(),
      isolationLevel: oneOf(...ISOLATION_LEVELS),
      accessMode: ACCESS_MODES,
      signal: anything(),
      clock: anything(),
      random: func(),
    }),
  ),
  timeoutMs: durationMs({ min: 1 }),
};

/**
 * The settings that a function gives, each time that a transaction begins.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID` for what are none: `undefined`, a promise.
 */
export function settingsOf(give: () => TransactionSettingsMap): TransactionSettingsMap {
  const settings: unknown = give();
  const given = settings instanceof Promise ? 'a promise' : settings;
  refuseProblems('transactional', optionProblems({ settings: required(SETTINGS) }, { settings: given }));
  return settings as TransactionSettingsMap;
}

/** These neither begin nor join a transaction, so that no option about one makes sense. */
const WITHOUT = new Set<Propagation>(['not-supported', 'never']);

const ABOUT_THE_TRANSACTION = [
  'isolationLevel',
  'accessMode',
  'deferrable',
  'settings',
  'retry',
  'timeoutMs',
] as const satisfies readonly (keyof TransactionalOptions)[];

/** These never begin a transaction, so that there is nothing to retry. */
const BEGINS_NONE = new Set<Propagation>(['mandatory', 'supports']);

/**
 * Refuses what is wrong or contradicts itself.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`
 */
export function refuseTransactionalOptions(of: string, options: TransactionalOptions): void {
  const problems = optionProblems(TRANSACTIONAL_RULES, options);
  if (problems.length === 0) problems.push(...contradictions(options));
  refuseProblems(of, problems);
}

function contradictions(options: TransactionalOptions): string[] {
  const { propagation = 'required', retry, isolationLevel, accessMode } = options;
  if (WITHOUT.has(propagation)) {
    return ABOUT_THE_TRANSACTION.filter((name) => options[name] !== undefined && options[name] !== false).map((name) =>
      refusal(name, 'a value', `nothing, because propagation is ${showValue(propagation)}: there is no transaction`),
    );
  }
  const problems: string[] = [];
  if (BEGINS_NONE.has(propagation) && retry !== undefined && retry !== false) {
    problems.push(
      refusal(
        'retry',
        'a value',
        `nothing, because propagation is ${showValue(propagation)}: it begins no transaction`,
      ),
    );
  }
  if (typeof retry !== 'object') return problems;
  const both = [
    ['isolationLevel', isolationLevel, retry.isolationLevel],
    ['accessMode', accessMode, retry.accessMode],
  ] as const;
  for (const [name, own, inRetry] of both) {
    if (own === undefined || inRetry === undefined || own === inRetry) continue;
    problems.push(refusal(`retry.${name}`, showValue(inRetry), `the same as ${name}, which is ${showValue(own)}`));
  }
  return problems;
}
