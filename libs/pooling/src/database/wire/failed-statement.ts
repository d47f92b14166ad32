/** What an error says of a prepared statement. */
export type Failure =
  /** Nothing: the text, read again, would fail in the same way. */
  | 'genuine'
  /** Nothing for sure: a value may be bad, or older than the schema is what the statement knows of it. */
  | 'suspect'
  /** The server says that the schema has changed. */
  | 'outdated'
  /** The server has forgotten it, and then hardly it alone. */
  | 'forgotten'
  /** Its name is taken. */
  | 'taken';

/** Classes of errors that a new statement would meet as well: resources, locks, deadlocks, cancels, the system. */
const OF_THE_MOMENT = new Set(['40', '53', '55', '57', '58']);
/** What the server says, and where, when it finds out while it runs a statement that a type has changed since it was prepared. */
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
  // What it has run may raise any code of a statement of its own: of this one nothing is known by that.
  if (query.bound) {
    const ofTypes = OF_TYPES.has(code) && typeof routine === 'string' && TYPE_CHECKS.test(routine);
    // The server has undone what it did of it, save what no transaction undoes.
    return ofTypes && query.prepared.shareable ? 'suspect' : 'genuine';
  }
  if (code === '26000') return 'forgotten';
  if (code === '0A000' && routine === 'RevalidateCachedQuery') return 'outdated';
  return OF_THE_MOMENT.has(code.slice(0, 2)) ? 'genuine' : 'suspect';
}

/** Whether both say the same. */
export function isSameError(one: Error & ServerError, other: Error & ServerError): boolean {
  return one.code === other.code && one.message === other.message;
}

/** Takes the name of a statement that its caller hasn't given out of an error's message: `pg` has none there. */
export function hideStatementName(error: Error & ServerError, { prepared }: FailedQuery): void {
  if (error.code === '08P01') error.message = error.message.replace(prepared.name, '');
}

/** What a statement of a batch hears when one before it has failed. */
export function passedOverError(): Error {
  return Object.assign(new Error('the statement was not run: one before it in its batch has failed'), {
    code: '25P02',
  });
}
