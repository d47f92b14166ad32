/** Codes are of few kinds: `23505`, `ECONNREFUSED`, `ERR_HTTP_TIMEOUT`. */
const CODE = /^\w{1,64}$/;

/** What kind of error this is, for people who count them: its code, else its name. Never a message, which may hold values. */
export function errorType(error: unknown): string {
  if (typeof error !== 'object' || error === null) return typeof error;
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  if (typeof code === 'string' && CODE.test(code)) return code;
  return typeof name === 'string' && CODE.test(name) ? name : 'Error';
}
