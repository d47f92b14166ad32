import { SECRET_PARAMETERS } from '../core/secret-parameters.js';
import { arrayOf, boolean, either, object, oneOf, string, type Rule } from '../core/validation.js';

/**
 * Whether queries and exchanges get spans of this library when an instrumentation of pg or undici makes some. `auto` leaves them
 * to it, and adds the waits and transactions that it can't know. `native` makes all of them.
 */
export type TracingMode = 'auto' | 'native';

/**
 * How the application is traced.
 *
 * ```ts
 * PoolingModule.forRoot({ tracing: { queryText: false, redact: ['token'] } });
 * ```
 */
export interface TracingOptions {
  /** Default: `auto`. */
  readonly mode?: TracingMode | undefined;
  /** Whether spans have the statements' texts; never with a parameter's value. Default: `true`. */
  readonly queryText?: boolean | undefined;
  /** Whether spans have the messages of errors: those of PostgreSQL may quote values. Default: `false`. */
  readonly errorMessages?: boolean | undefined;
  /** Whether HTTP requests carry `traceparent`. Default: `true`. */
  readonly propagate?: boolean | undefined;
  /** Further parameters of URLs whose values are secrets, besides those that the conventions name. Case counts. */
  readonly redact?: readonly string[] | undefined;
}

/** What `forRoot` takes as `tracing`. */
export type Tracing = TracingMode | false | TracingOptions;

/** The options with their defaults. */
export interface ResolvedTracing {
  readonly mode: TracingMode;
  readonly queryText: boolean;
  readonly errorMessages: boolean;
  readonly propagate: boolean;
  readonly secretParameters: ReadonlySet<string>;
}

const mode = oneOf('auto', 'native');

/** What `tracing` may be. */
export const tracingRule: Rule = either(
  oneOf('auto', 'native', false),
  object({
    mode,
    queryText: boolean(),
    errorMessages: boolean(),
    propagate: boolean(),
    redact: arrayOf(string()),
  }),
);

/** `undefined`: no spans. */
export function resolveTracing(tracing: Tracing = 'auto'): ResolvedTracing | undefined {
  if (tracing === false) return undefined;
  const given = typeof tracing === 'string' ? { mode: tracing } : tracing;
  const { mode: chosen = 'auto', queryText = true, errorMessages = false, propagate = true, redact = [] } = given;
  const secretParameters = redact.length === 0 ? SECRET_PARAMETERS : new Set([...SECRET_PARAMETERS, ...redact]);
  return { mode: chosen, queryText, errorMessages, propagate, secretParameters };
}
