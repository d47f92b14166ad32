import { isMomentary } from '../server-errors.js';

/** What an error says of a prepared statement. */
export type Failure =
  /** Nothing: a statement prepared again would fail in the same way. */
  | 'genuine'
  /** Uncertain: a value may be bad, or the statement older than the schema. */
  | 'suspect'
  /** The server says that the schema has changed. */
  | 'outdated'
  /** The server has forgotten it, and probably others as well. */
  | 'forgotten'
  /** Its name is taken. */
  | 'taken';

/** SQLSTATEs with which a statement fails while it runs, when a type has changed since it was prepared. */
const OF_TYPES = new Set(['22P03', '42703', '42704', '42804', '42883', 'XX000']);
const TYPE_CHECKS = /^(?:ExecEval|CheckVarSlot|CheckOpSlot|TupleDesc|get(?:Type|type)|lookup_|fmgr_info)/;

/** A query that has failed, and how far the server was with it. */
export interface FailedQuery {
  readonly error: Error | undefined;
  /** Why it was sent once more. */
  readonly firstError: Error | undefined;
  /** Whether its statement was prepared by an earlier query. */
  readonly reused: boolean;
  /** Whether the server had bound its parameters. */
  readonly bound: boolean;
  readonly prepared: { readonly name: string; readonly shareable: boolean };
}

interface ServerError {
  readonly code?: unknown;
  readonly routine?: unknown;
}

/** What the error of a query says of the statement it used. */
export function failureOf(query: FailedQuery): Failure {
  const { code, routine } = query.error as ServerError;
  if (typeof code !== 'string' || query.firstError !== undefined) return 'genuine';
  if (code === '42P05' && !query.bound) return 'taken';
  if (!query.reused) return 'genuine';
  // Code that it runs may raise any error: that says nothing about this statement.
  if (query.bound) {
    const ofTypes = OF_TYPES.has(code) && typeof routine === 'string' && TYPE_CHECKS.test(routine);
    // The server has rolled back what it did, except for what no transaction rolls back.
    return ofTypes && query.prepared.shareable ? 'suspect' : 'genuine';
  }
  if (code === '26000') return 'forgotten';
  if (code === '0A000' && routine === 'RevalidateCachedQuery') return 'outdated';
  return isMomentary(code) ? 'genuine' : 'suspect';
}

/** Whether both say the same. */
export function isSameError(one: Error & ServerError, other: Error & ServerError): boolean {
  return one.code === other.code && one.message === other.message;
}

/** Removes the library's own name of a statement from an error's message: with `pg` there would be none. */
export function hideStatementName(error: Error & ServerError, { prepared }: FailedQuery): void {
  if (error.code === '08P01') error.message = error.message.replace(prepared.name, '');
}

/** The error of a statement of a batch when one before it has failed. */
export function passedOverError(): Error {
  return Object.assign(new Error('the statement was not run: one before it in its batch has failed'), {
    code: '25P02',
  });
}

/** The error of a statement whose connection is lost before it is sent. */
export function connectionLostError(cause: Error | undefined): Error {
  const message = 'the connection is lost: the statement was not sent';
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code: 'ECONNRESET' });
}
