/**
 * What users' code relies on the compiler for: what is inferred, and what is refused. `npm run typecheck` holds it, and
 * `test/documents/blocks.spec.ts` in `npm test`.
 */
import type { CanActivate, DynamicModule } from '@nestjs/common';
import * as kysely from 'kysely';
import type { Kysely, Selectable, Transaction } from 'kysely';
import type { Pool, PoolClient, QueryResult } from 'pg';
import type { Dispatcher } from 'undici';
import { expectTypeOf } from 'vitest';
import {
  createKysely,
  DatabasePool,
  getDbPoolToken,
  getDbToken,
  getHttpClientToken,
  HttpClient,
  HttpResponse,
  HttpStatusError,
  HttpTimeoutError,
  InjectDb,
  InjectDbPool,
  InjectHttpClient,
  PoolAcquireTimeoutError,
  PoolAdvisor,
  PoolingError,
  PoolingModule,
  prepareQuery,
  recommendPoolSize,
  retryTransaction,
  sizeForLoad,
  type Advice,
  type CloseReason,
  type CloseReport,
  type DatabaseOptions,
  type DatabasePoolStatistics,
  type HttpClientOptions,
  type HttpHolder,
  type HttpResponsePromise,
  type PoolingModuleOptions,
  type PoolingOptionsFactory,
  type PoolRegistry,
} from 'nestjs-pooling';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';

interface Database {
  orders: { id: number; item: string; note: string | null };
}
declare const db: Kysely<Database>;
declare const pool: DatabasePool;
declare const http: HttpClient;
declare const registry: PoolRegistry;

// --- injection -------------------------------------------------------------------------------------------------------

export class OrdersService {
  @InjectDb('orders') readonly property!: Kysely<Database>;

  constructor(
    @InjectDb() readonly db: Kysely<Database>,
    @InjectDbPool('reports') readonly pool: DatabasePool,
    @InjectHttpClient('carrier') readonly carrier: HttpClient,
  ) {}

  order(id: number) {
    return this.db.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirst();
  }
}
expectTypeOf<ReturnType<OrdersService['order']>>().toEqualTypeOf<Promise<Selectable<Database['orders']> | undefined>>();
expectTypeOf(getDbToken('orders')).toEqualTypeOf<string>();
expectTypeOf(getDbPoolToken()).toEqualTypeOf<string>();
expectTypeOf(getHttpClientToken()).toEqualTypeOf<string>();
// @ts-expect-error names are strings
InjectDb(7);

expectTypeOf(registry.database()).toEqualTypeOf<DatabasePool>();
expectTypeOf(registry.http('carrier')).toEqualTypeOf<HttpClient>();

// --- the module ------------------------------------------------------------------------------------------------------

class Settings {
  readonly url = 'postgres://127.0.0.1/shop';
}
class OptionsFactory implements PoolingOptionsFactory {
  createPoolingOptions(): PoolingModuleOptions {
    return { database: false };
  }
}
class StaffGuard implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

expectTypeOf(PoolingModule.forRoot()).toEqualTypeOf<DynamicModule>();
PoolingModule.forRoot({ database: false, http: false, health: false, metrics: false, console: false });
PoolingModule.forRoot({
  console: { path: 'pools', guards: [StaffGuard, new StaffGuard()], allowedActions: ['resume'] },
});
PoolingModule.forRootAsync({ useClass: OptionsFactory, health: { path: 'status' } });
PoolingModule.forRootAsync({ useExisting: OptionsFactory });
PoolingModule.forRootAsync({
  inject: [Settings],
  useFactory: (settings: Settings) => ({ database: { url: settings.url, preset: 'high' } }),
});
PoolingModule.forRootAsync({ inject: [Settings], useFactory: async ({ url }: Settings) => ({ database: { url } }) });
PoolingModule.forDatabase({ name: 'reports', size: 4 });
PoolingModule.forDatabaseAsync({ name: 'reports', useFactory: () => ({ size: 4 }) });
PoolingModule.forHttpClient({ name: 'carrier', baseUrl: 'https://carrier.example' });
PoolingModule.forHttpClientAsync({ name: 'carrier', useFactory: () => ({ limit: 4 }) });

// @ts-expect-error no such option
PoolingModule.forRoot({ databases: {} });
// @ts-expect-error no such preset
PoolingModule.forRoot({ database: { preset: 'huge' } });
// @ts-expect-error sizes are numbers
PoolingModule.forRoot({ database: { size: '10' } });
// @ts-expect-error no such option of a database
PoolingModule.forRoot({ database: { max: 10 } });
// @ts-expect-error no such action
PoolingModule.forRoot({ console: { allowedActions: ['destroy'] } });
// @ts-expect-error a further database has a name
PoolingModule.forDatabase({ size: 4 });
// @ts-expect-error a further client has a name
PoolingModule.forHttpClient({ limit: 4 });
// @ts-expect-error the options of a client aren't those of a database
PoolingModule.forHttpClient({ name: 'carrier', preset: 'high' });
// @ts-expect-error routes are known before any factory runs
PoolingModule.forRootAsync({ useFactory: () => ({ health: { path: 'status' } }) });
// @ts-expect-error what the factory makes is checked
PoolingModule.forDatabaseAsync({ name: 'reports', useFactory: () => ({ size: 'large' }) });
// @ts-expect-error a class that makes no options
PoolingModule.forRootAsync({ useClass: Settings });

expectTypeOf<DatabaseOptions['preset']>().toEqualTypeOf<'small' | 'medium' | 'high' | undefined>();
expectTypeOf<DatabaseOptions['startup']>().toEqualTypeOf<'lazy' | 'warm' | 'required' | undefined>();
expectTypeOf<keyof DatabaseOptions>().extract<'max' | 'min'>().toBeNever();
expectTypeOf<HttpClientOptions['limit']>().toEqualTypeOf<number | undefined>();

// --- the database ----------------------------------------------------------------------------------------------------

expectTypeOf(pool).toExtend<Pick<Pool, 'connect' | 'end' | 'totalCount' | 'idleCount' | 'waitingCount' | 'on'>>();
expectTypeOf(pool.connect()).toExtend<Promise<PoolClient>>();
expectTypeOf(pool.query<{ one: number }>('select 1 as one')).toExtend<Promise<QueryResult<{ one: number }>>>();
expectTypeOf(pool.withConnection(async () => 'value')).toEqualTypeOf<Promise<string>>();
expectTypeOf(pool.close()).toEqualTypeOf<Promise<CloseReport>>();
expectTypeOf(pool.statistics()).toEqualTypeOf<DatabasePoolStatistics>();
expectTypeOf(pool.statistics().closed).toEqualTypeOf<Readonly<Record<CloseReason, number>>>();
expectTypeOf(pool.statistics().state).toEqualTypeOf<'running' | 'suspended' | 'draining' | 'closed'>();
pool.resize({ size: 4 });
// @ts-expect-error the deadline is milliseconds, not a time
void pool.close({ deadlineMs: new Date() });
new DatabasePool('orders', { url: 'postgres://127.0.0.1/shop' });
new DatabasePool({ url: 'postgres://127.0.0.1/shop' });

expectTypeOf(createKysely<Database>(pool)).toEqualTypeOf<Kysely<Database>>();
createKysely<Database>(pool, { kysely, plugins: [new kysely.CamelCasePlugin()], log: ['error'] });
// @ts-expect-error a Kysely stands on a pool, not on its options
createKysely<Database>({ url: 'postgres://127.0.0.1/shop' });
// @ts-expect-error no such option
createKysely<Database>(pool, { dialect: undefined });

const orderById = prepareQuery(db, (p: { id: number }) => db.selectFrom('orders').selectAll().where('id', '=', p.id));
expectTypeOf(orderById.execute({ id: 1 })).toEqualTypeOf<Promise<Selectable<Database['orders']>[]>>();
expectTypeOf(orderById.executeTakeFirst({ id: 1 })).toEqualTypeOf<
  Promise<Selectable<Database['orders']> | undefined>
>();
// @ts-expect-error a parameter of another type
void orderById.execute({ id: '1' });
// @ts-expect-error a parameter is missing
void orderById.execute({});

const inTransaction = retryTransaction(db, async (transaction) => {
  expectTypeOf(transaction).toEqualTypeOf<Transaction<Database>>();
  return { paid: true };
});
expectTypeOf(inTransaction).toEqualTypeOf<Promise<{ paid: boolean }>>();
// @ts-expect-error no such level
void retryTransaction(db, async () => 1, { isolationLevel: 'none' });

// --- HTTP ------------------------------------------------------------------------------------------------------------

expectTypeOf(http.get('/orders')).toEqualTypeOf<HttpResponsePromise>();
expectTypeOf(http.get('/orders').json<{ id: number }>()).toEqualTypeOf<Promise<{ id: number }>>();
expectTypeOf(http.get('/orders').json()).toEqualTypeOf<Promise<unknown>>();
expectTypeOf(http.get('/orders').text()).toEqualTypeOf<Promise<string>>();
expectTypeOf(http.request('/orders')).resolves.toEqualTypeOf<HttpResponse>();
expectTypeOf(http.fetch).toExtend<typeof globalThis.fetch>();
expectTypeOf(http.dispatcher).toExtend<Dispatcher>();
void http.post('/orders', { json: { item: 'a' }, query: { page: 1, tag: ['a', 'b'], none: undefined } });
// @ts-expect-error no such option of a request
void http.get('/orders', { params: { page: 1 } });
// @ts-expect-error no such phase
new HttpClient('carrier', { timeouts: { idleMs: 1 } });

// --- errors, sizing, advice ------------------------------------------------------------------------------------------

declare const error: unknown;
if (error instanceof PoolingError) expectTypeOf(error.code).toEqualTypeOf<string>();
expectTypeOf<PoolAcquireTimeoutError['code']>().toEqualTypeOf<'ERR_POOL_ACQUIRE_TIMEOUT'>();
if (error instanceof HttpStatusError) expectTypeOf(error.statusCode).toEqualTypeOf<number>();
if (error instanceof HttpTimeoutError) {
  expectTypeOf(error.phase).toEqualTypeOf<'total' | 'acquire' | 'connect' | 'read'>();
}
expectTypeOf(recommendPoolSize({ concurrentRequests: 1, queriesPerRequest: 1 })).toEqualTypeOf<number>();
expectTypeOf(sizeForLoad({ acquiresPerSecond: 1, meanUseMs: 1, waitTargetMs: 1 }).size).toEqualTypeOf<number>();
// @ts-expect-error what the load is has to be said
recommendPoolSize({ concurrentRequests: 1 });
expectTypeOf<ReturnType<PoolAdvisor['advise']>>().resolves.toExtend<readonly Advice[]>();
expectTypeOf<HttpHolder>().not.toBeAny();

// --- testing ---------------------------------------------------------------------------------------------------------

expectTypeOf(PostgresServer.start).returns.resolves.toEqualTypeOf<PostgresServer>();
expectTypeOf(TcpProxy.listen({ port: 5432 })).resolves.toEqualTypeOf<TcpProxy>();
// @ts-expect-error a proxy stands in front of a port
void TcpProxy.listen({});
