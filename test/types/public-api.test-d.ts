/**
 * What users' code relies on the compiler for: what is inferred, and what is refused. `npm run typecheck` holds it, and
 * `test/documents/blocks.spec.ts` in `npm test`.
 */
import type { CanActivate, DynamicModule } from '@nestjs/common';
import * as kysely from 'kysely';
import type { Kysely, Selectable, Transaction } from 'kysely';
import type { Pool, PoolClient, QueryArrayResult, QueryResult, QueryResultRow } from 'pg';
import type { Dispatcher } from 'undici';
import { expectTypeOf } from 'vitest';
import {
  afterCommit,
  afterRollback,
  batch,
  createKysely,
  currentTransaction,
  DatabasePool,
  getDbPoolToken,
  getDbToken,
  getHttpClientToken,
  HttpClient,
  HttpOriginRefusedError,
  HttpQueueFullError,
  HttpResponse,
  HttpResponseTooLargeError,
  HttpStatusError,
  HttpTimeoutError,
  InjectDb,
  InjectDbPool,
  InjectHttpClient,
  PoolAcquireTimeoutError,
  PoolAdvisor,
  PoolClosedError,
  PoolCommitUnknownError,
  PoolConnectError,
  PoolingError,
  PoolingModule,
  PoolLeaseReleasedError,
  PoolNotConfiguredError,
  PoolOptionsError,
  PoolQueryTimeoutError,
  PoolQueueFullError,
  PoolSuspendedError,
  PoolTransactionError,
  prepareQuery,
  recommendPoolSize,
  retryTransaction,
  sizeForLoad,
  spansFor,
  Transactional,
  transactional,
  UnpreparedPlugin,
  withoutTransaction,
  type Advice,
  type CloseReason,
  type CloseReport,
  type DatabaseOptions,
  type DatabasePoolStatistics,
  type ErrorDetails,
  type Hook,
  type HostAddress,
  type HttpClientOptions,
  type HttpHolder,
  type HttpResponsePromise,
  type PoolingModuleOptions,
  type PoolingOptionsFactory,
  type PoolRegistry,
  type PoolTransactionErrorCode,
  type Propagation,
  type SpanSink,
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

// Code that runs in a transaction or outside of one: a union is called by the signatures that both have.
declare const poolOrClient: DatabasePool | PoolClient;
expectTypeOf(poolOrClient.query<{ id: number }>('select 1 as id', [1])).toEqualTypeOf<
  Promise<QueryResult<{ id: number }>>
>();
expectTypeOf(poolOrClient.query({ text: 'select 1', values: [1] })).toExtend<Promise<QueryResult>>();
expectTypeOf(poolOrClient.query<[number]>({ text: 'select 1', rowMode: 'array' })).toExtend<
  Promise<QueryArrayResult<[number]>>
>();
expectTypeOf(poolOrClient.query('select 1', (_error: Error, _result: QueryResult) => {})).toEqualTypeOf<void>();
expectTypeOf(poolOrClient.query('select $1', [1], (_error: Error, _result: QueryResult) => {})).toEqualTypeOf<void>();
// A pool alone keeps its stricter ones.
expectTypeOf(pool.query('select 1')).toEqualTypeOf<Promise<QueryResult<QueryResultRow>>>();
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

// @ts-expect-error a budget says how many connections there are
new DatabasePool({ budget: { min: 2 } });
expectTypeOf<NonNullable<DatabaseOptions['targetSessionAttrs']>>().toEqualTypeOf<
  'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby' | 'prefer-primary'
>();
new DatabasePool({ hosts: [{ host: 'db1' }, { host: 'db2', port: 5433 }], loadBalanceHosts: 'random' });
new DatabasePool({ hosts: async (): Promise<HostAddress[]> => [{ host: 'db1' }] });
// @ts-expect-error a host has a name
new DatabasePool({ hosts: [{ port: 5432 }] });
db.withPlugin(new UnpreparedPlugin());
expectTypeOf(spansFor('native')).toExtend<SpanSink | undefined>();
// @ts-expect-error no such mode
spansFor('always');

// --- transactions ----------------------------------------------------------------------------------------------------

export class PaymentsService {
  @Transactional({ isolationLevel: 'serializable', retry: { attempts: 3 }, timeoutMs: 1_000 })
  async pay(id: number): Promise<string> {
    return String(id);
  }

  @Transactional({ database: 'orders', settings: () => ({ 'app.tenant': 7 }) })
  ship(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error a method whose end nobody can await
  @Transactional()
  count(): number {
    return 1;
  }
}
expectTypeOf<PaymentsService['pay']>().toEqualTypeOf<(id: number) => Promise<string>>();
// @ts-expect-error no such propagation
Transactional({ propagation: 'always' });
// @ts-expect-error no such isolation level
Transactional({ isolationLevel: 'none' });
// @ts-expect-error settings have plain values
Transactional({ settings: { 'app.tenants': [7] } });
expectTypeOf<Propagation>().toEqualTypeOf<
  'required' | 'requires-new' | 'nested' | 'mandatory' | 'supports' | 'not-supported' | 'never'
>();

expectTypeOf(transactional(db, () => 1)).toEqualTypeOf<Promise<number>>();
expectTypeOf(transactional(db, async () => 'paid')).toEqualTypeOf<Promise<string>>();
expectTypeOf(transactional(db, { propagation: 'nested' }, async () => 'paid')).toEqualTypeOf<Promise<string>>();
// @ts-expect-error the database is that of `db`
void transactional(db, { database: 'orders' }, () => 1);
// @ts-expect-error what is to be run is missing
void transactional(db, { retry: true });
expectTypeOf(currentTransaction(db)).toEqualTypeOf<Transaction<Database> | undefined>();
expectTypeOf(withoutTransaction(() => 'value')).toEqualTypeOf<string>();
expectTypeOf(withoutTransaction(async () => 'value')).toEqualTypeOf<Promise<string>>();
expectTypeOf(afterCommit).parameter(0).toEqualTypeOf<Hook>();
expectTypeOf(afterCommit(() => 1)).toEqualTypeOf<void>();
afterRollback(async () => undefined, { database: 'orders' });
// @ts-expect-error a hook is a function
afterCommit('mail');

const batched = batch(db, [
  db.selectFrom('orders').select(['id', 'note']),
  db.insertInto('orders').values({ id: 1, item: 'a' }).returning('id'),
  db.deleteFrom('orders').where('id', '=', 1),
  kysely.sql<{ total: number }>`select 1 as total`,
  () => orderById.executeTakeFirst({ id: 1 }),
]);
expectTypeOf(batched).resolves.toEqualTypeOf<
  [
    { id: number; note: string | null }[],
    { id: number }[],
    kysely.DeleteResult[],
    kysely.QueryResult<{ total: number }>,
    Selectable<Database['orders']> | undefined,
  ]
>();
// @ts-expect-error a query that runs already can't leave with the others
void batch(db, [db.selectFrom('orders').selectAll().execute()]);
// @ts-expect-error a text is no query
void batch(db, ['select 1']);

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
if (error instanceof PoolingError) expectTypeOf(error.details).toEqualTypeOf<ErrorDetails>();
expectTypeOf<PoolAcquireTimeoutError['code']>().toEqualTypeOf<'ERR_POOL_ACQUIRE_TIMEOUT'>();
expectTypeOf<PoolClosedError['code']>().toEqualTypeOf<'ERR_POOL_CLOSED'>();
expectTypeOf<PoolCommitUnknownError['code']>().toEqualTypeOf<'ERR_POOL_COMMIT_UNKNOWN'>();
expectTypeOf<PoolConnectError['code']>().toEqualTypeOf<'ERR_POOL_CONNECT_FAILED'>();
expectTypeOf<PoolLeaseReleasedError['code']>().toEqualTypeOf<'ERR_POOL_LEASE_RELEASED'>();
expectTypeOf<PoolNotConfiguredError['code']>().toEqualTypeOf<'ERR_POOL_NOT_CONFIGURED'>();
expectTypeOf<PoolOptionsError['code']>().toEqualTypeOf<'ERR_POOL_OPTIONS_INVALID'>();
expectTypeOf<PoolQueryTimeoutError['code']>().toEqualTypeOf<'ERR_POOL_QUERY_TIMEOUT'>();
expectTypeOf<PoolQueueFullError['code']>().toEqualTypeOf<'ERR_POOL_QUEUE_FULL'>();
expectTypeOf<PoolSuspendedError['code']>().toEqualTypeOf<'ERR_POOL_SUSPENDED'>();
expectTypeOf<PoolTransactionError['code']>().toEqualTypeOf<PoolTransactionErrorCode>();
expectTypeOf<HttpOriginRefusedError['code']>().toEqualTypeOf<'ERR_HTTP_ORIGIN_REFUSED'>();
expectTypeOf<HttpQueueFullError['code']>().toEqualTypeOf<'ERR_HTTP_QUEUE_FULL'>();
expectTypeOf<HttpResponseTooLargeError['code']>().toEqualTypeOf<'ERR_HTTP_RESPONSE_TOO_LARGE'>();
expectTypeOf<HttpStatusError['code']>().toEqualTypeOf<'ERR_HTTP_STATUS'>();
expectTypeOf<HttpTimeoutError['code']>().toEqualTypeOf<'ERR_HTTP_TIMEOUT'>();

declare const failure: PoolAcquireTimeoutError | PoolTransactionError | HttpStatusError;
if (failure.code === 'ERR_HTTP_STATUS') expectTypeOf(failure).toEqualTypeOf<HttpStatusError>();
if (failure.code === 'ERR_POOL_TRANSACTION_OVER') expectTypeOf(failure).toEqualTypeOf<PoolTransactionError>();
// @ts-expect-error no such code
if (failure.code === 'ERR_POOL_TRANSACTION_LOST') throw failure;
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
