/** The name of a pool or client that was given none. */
export const DEFAULT_NAME = 'default';

/**
 * The injection token of a database's `Kysely`: what tests override.
 *
 * ```ts
 * const testing = await Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(getDbToken())
 *   .useValue(fakeDb)
 *   .compile();
 * ```
 */
export function getDbToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingDb:${name}`;
}

/**
 * The injection token of the `Kysely` that reads from a database's replicas.
 *
 * ```ts
 * const testing = await Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(getReplicaDbToken())
 *   .useValue(fakeDb)
 *   .compile();
 * ```
 */
export function getReplicaDbToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingReplicaDb:${name}`;
}

/**
 * The injection token of a database's `DatabasePool`.
 *
 * ```ts
 * const app = await NestFactory.create(AppModule);
 * const reports = app.get<DatabasePool>(getDbPoolToken('reports'));
 * ```
 */
export function getDbPoolToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingDbPool:${name}`;
}

/**
 * The injection token of an `HttpClient`.
 *
 * ```ts
 * const testing = await Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(getHttpClientToken('carrier'))
 *   .useValue(fakeCarrier)
 *   .compile();
 * ```
 */
export function getHttpClientToken(name: string = DEFAULT_NAME): string {
  return `NestjsPoolingHttpClient:${name}`;
}
