/** Severities with which a server hangs up. */
const LAST_WORDS = new Set(['FATAL', 'PANIC']);
/** Severities with which it goes on. */
const GOES_ON = new Set(['ERROR', 'WARNING', 'NOTICE', 'DEBUG', 'INFO', 'LOG']);
/** Shutdown, crash, start-up, dropped database, idle session; idle in transaction, long transaction. */
const LAST_CODES = /^(?:57P0\d|25P0[34])$/;

/**
 * Whether an error of the server ends the connection it came through. Its severity says so, not its code: a function can
 * raise any code, and a foreign data wrapper passes on what happened to a connection of its own (class 08, 57P01).
 * Where the severity is in another language the codes decide that the server itself gives to its last words.
 */
export function endsConnection(error: unknown): boolean {
  const { severity, code } = error as { severity?: unknown; code?: unknown };
  if (typeof severity !== 'string') return false;
  if (LAST_WORDS.has(severity)) return true;
  return !GOES_ON.has(severity) && typeof code === 'string' && LAST_CODES.test(code);
}
