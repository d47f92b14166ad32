/** Severities after which a server closes the connection. */
const LAST_WORDS = new Set(['FATAL', 'PANIC']);
/** Severities after which it goes on. */
const GOES_ON = new Set(['ERROR', 'WARNING', 'NOTICE', 'DEBUG', 'INFO', 'LOG']);
/** Shutdown, crash, start-up, dropped database, idle session; idle in transaction, long transaction. */
const LAST_CODES = /^(?:57P0\d|25P0[34])$/;

/** How a socket dies, in Node's words. */
const SOCKET_ERRORS = new Set([
  'ECONNRESET',
  'EPIPE',
  'EBADMSG',
  'ETIMEDOUT',
  'ECONNABORTED',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTUNREACH',
]);

/** Whether a statement failed because its connection was lost. */
export function isLostConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && SOCKET_ERRORS.has(code)) return true;
  // pg's own words: it gives a lost connection no code.
  return (
    endsConnection(error) || /^Connection terminated|^Client has encountered a connection error/.test(error.message)
  );
}

/**
 * Whether an error of the server ends its connection. The severity decides, not the code: a function can raise any code, and a
 * foreign data wrapper passes on errors of its own connections (class 08, 57P01). Where the severity is in another language,
 * the codes decide with which the server itself closes connections.
 */
export function endsConnection(error: unknown): boolean {
  const { severity, code } = error as { severity?: unknown; code?: unknown };
  if (typeof severity !== 'string') return false;
  if (LAST_WORDS.has(severity)) return true;
  return !GOES_ON.has(severity) && typeof code === 'string' && LAST_CODES.test(code);
}

/** Classes of errors that don't depend on the statement: rollbacks, resources, locks, cancels, the system. */
const MOMENTARY = new Set(['40', '53', '55', '57', '58']);

/** Whether a SQLSTATE says only that something can't be done at this moment: another statement may meet it as well. */
export function isMomentary(code: string): boolean {
  return MOMENTARY.has(code.slice(0, 2));
}
