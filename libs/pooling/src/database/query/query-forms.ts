import type { QueryConfig, QueryResult, Submittable } from 'pg';

/** The callback of a query. Typed as pg's: there is a result when there is no error. */
export type QueryOutcome = (
  error: Error | undefined,
  result: QueryResult,
  /** Whether the server has done nothing for a query that failed, so that it can be run elsewhere. */
  untouched?: boolean,
) => void;

/** A text, or an object with a text or a prepared statement's name. */
export type QueryText =
  | string
  | (QueryConfig<unknown[]> & {
      query_timeout?: number;
      callback?: QueryOutcome;
      /** `false`: this query is never prepared, so that the server plans it for its own values each time. */
      prepare?: boolean;
    });

/** A query of a class of its own: a cursor, a stream, a `COPY`, pg's `Query`. */
export function isSubmittable(config: unknown): config is Submittable {
  return typeof (config as { submit?: unknown } | null)?.submit === 'function';
}

/** The text of a query, to be shown. */
export function textOf(config: QueryText | Submittable): string {
  if (typeof config === 'string') return config;
  const { text, name } = config as { text?: unknown; name?: unknown };
  return typeof text === 'string' ? text : typeof name === 'string' ? name : '';
}

/** What has the text of a cursor, a stream or a `COPY`: pg-query-stream reads through a cursor. */
export function textHolderOf(submittable: Submittable): Submittable {
  const { cursor } = submittable as { readonly cursor?: Submittable };
  return typeof cursor === 'object' && cursor !== null ? cursor : submittable;
}

const WRITABLE = { configurable: true, enumerable: true, writable: true } as const;

/** A config that pg may change: before 8.23.1 it writes the callback and the values into it. */
export function ownConfig(config: QueryText): QueryText {
  if (typeof config === 'string') return config;
  // It inherits and doesn't copy: in a config of a class of its own, the text may be a getter.
  return Object.create(config, {
    callback: { ...WRITABLE, value: undefined },
    values: { ...WRITABLE, value: config.values },
  }) as QueryText;
}

/** The callback among the arguments, wherever it stands. */
export function callbackOf(
  config: QueryText,
  values: readonly unknown[] | QueryOutcome | undefined,
  callback: QueryOutcome | undefined,
): QueryOutcome | undefined {
  const found = typeof values === 'function' ? values : (callback ?? (config as { callback?: QueryOutcome }).callback);
  if (found !== undefined && found !== null && typeof found !== 'function') {
    throw new TypeError('callback is not a function');
  }
  return found ?? undefined;
}

/** The values among the arguments. */
export function valuesOf(values: readonly unknown[] | QueryOutcome | undefined): unknown[] | undefined {
  return typeof values === 'function' ? undefined : (values as unknown[] | undefined);
}

/** Frames of this library's and of Kysely's, between a query's answer and its caller. */
const FRAMES_BETWEEN = 12;

/** Gives an error the stack of the code that awaits it, and leaves room for the frames in between. */
function captureCallers(error: Error): void {
  const limit = Error.stackTraceLimit;
  if (limit > 0) Error.stackTraceLimit = limit + FRAMES_BETWEEN;
  Error.captureStackTrace(error, captureCallers);
  Error.stackTraceLimit = limit;
}

function withCallers(error: unknown): never {
  if (error instanceof Error) captureCallers(error);
  throw error;
}

function asItIs(result: QueryResult): QueryResult {
  return result;
}

/** Makes a promise of a callback. The stack of its errors leads to the caller, and not to a socket. */
export function promiseOf(start: (callback: QueryOutcome) => void): Promise<QueryResult>;
/**
 * @param shape makes what the promise gives of the result; the promise rejects with what it throws.
 * @param answered called once, before the promise settles.
 */
export function promiseOf<Answer>(
  start: (callback: QueryOutcome) => void,
  shape: (result: QueryResult) => Answer,
  answered?: () => void,
): Promise<Answer>;
export function promiseOf(
  start: (callback: QueryOutcome) => void,
  shape: (result: QueryResult) => unknown = asItIs,
  answered?: () => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const fail = (error: unknown): void => {
      // A query that could not be started may be called back later as well.
      if (settled) return;
      settled = true;
      answered?.();
      // Who awaits the promise can be seen one step later; V8 finds them because `resolve` is the promise's own.
      void Promise.reject(error as Error)
        .catch(withCallers)
        .then(resolve, reject);
    };
    try {
      start((error, result) => {
        if (error !== undefined) return fail(error);
        if (settled) return;
        settled = true;
        answered?.();
        try {
          resolve(shape(result));
        } catch (thrown) {
          // A tracer may have passed on something else than an answer.
          reject(thrown as Error);
        }
      });
    } catch (error) {
      fail(error);
    }
  });
}

/**
 * What is known of a text. `statement`: it is one statement. `command`: a command of a transaction, such as a savepoint,
 * without parameters and rows. `end`: the end of a transaction. `text`: it may be anything.
 */
export type StatementForm = 'statement' | 'command' | 'end' | 'text';

/** Fields of a config that ask for something that only pg does: such a query is left to pg. */
const PG_ONLY = ['name', 'rowMode', 'types', 'binary', 'rows', 'portal', 'queryMode'] as const;

/** The parameters of a query, given beside its text or with it; pg refuses what isn't an array. */
export function parametersOf(config: QueryText, values: unknown[] | undefined): unknown[] | undefined {
  return values ?? (typeof config === 'object' ? config.values : undefined);
}

/** Whether a query has none of these fields. */
export function isPlain(config: Exclude<QueryText, string>): boolean {
  if (typeof config.text !== 'string') return false;
  const own = config as unknown as Record<string, unknown>;
  return !PG_ONLY.some((option) => own[option] !== undefined && own[option] !== null);
}

/**
 * Whether a query may be run as a prepared statement of the pool's own.
 *
 * @param single whether the text is known to hold one statement.
 */
export function isPreparable(config: QueryText, parameters: unknown[] | undefined, single: boolean): boolean {
  // Without parameters a text may hold several statements, which can't be prepared.
  if (!Array.isArray(parameters) || !(single || parameters.length > 0)) return false;
  // An empty text has no parameters: pg drops them then.
  if (typeof config === 'string') return config !== '';
  return config.text !== '' && config.prepare !== false && isPlain(config);
}
