import { Inject } from '@nestjs/common';
import { getDbPoolToken, getDbToken, getHttpClientToken } from './tokens.js';

/** A decorator for constructor parameters and for properties. */
export type InjectDecorator = PropertyDecorator & ParameterDecorator;

/**
 * Injects the `Kysely` of a database, which is `default` unless it is named.
 *
 * @example
 * ```ts
 * constructor(@InjectDb() private readonly db: Kysely<Database>) {}
 * ```
 */
export function InjectDb(name?: string): InjectDecorator {
  return Inject(getDbToken(name));
}

/** Injects the `DatabasePool` of a database, which is `default` unless it is named. */
export function InjectDbPool(name?: string): InjectDecorator {
  return Inject(getDbPoolToken(name));
}

/** Injects an `HttpClient`, which is `default` unless it is named. */
export function InjectHttpClient(name?: string): InjectDecorator {
  return Inject(getHttpClientToken(name));
}
