/** The name of a pool or client that was given none. */
export const DEFAULT_NAME = 'default';

/** The injection token of a database's `Kysely`: what tests override. */
export function getDbToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingDb:${name}`;
}

/** The injection token of a database's `DatabasePool`. */
export function getDbPoolToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingDbPool:${name}`;
}

/** The injection token of an `HttpClient`. */
export function getHttpClientToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingHttpClient:${name}`;
}
