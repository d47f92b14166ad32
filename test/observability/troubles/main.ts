/**
 * Gets an application into the troubles of docs/troubleshooting.md, and prints what it shows: each block of the
 * document, by name. `DATABASE_URL` is a database of its own; arguments choose troubles.
 */
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:http';
import { ConsoleLogger, Module, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Client } from 'pg';
import {
  DatabasePool,
  PoolAdvisor,
  PoolingModule,
  PoolRegistry,
  type DatabaseOptions,
  type PoolingModuleOptions,
} from 'nestjs-pooling';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';
import { findPgBouncer, PgBouncer, versionOf } from '#test/pgbouncer/pgbouncer.js';
import { OrdersController, OrdersService } from './orders.js';

const url = process.env['DATABASE_URL'] as string;
const ADMISSIBLE = /^(DatabasePool|HttpClient|PoolAdvisor|PoolHealth|PoolingModule)$/;
let log: string[] = [];

/** Nest's own logger, whose lines are kept instead of printed, without its time stamp. */
class KeptLogger extends ConsoleLogger {
  constructor() {
    super({ colors: false });
  }

  protected override printMessages(messages: unknown[], context = '', level = 'log'): void {
    if (!ADMISSIBLE.test(context)) return;
    for (const message of messages) {
      log.push(`${level.toUpperCase()} [${context}] ${this.stringifyMessage(message, 'log')}`);
    }
  }
}

interface Running {
  readonly application: INestApplication;
  readonly orders: OrdersService;
  readonly pool: DatabasePool;
  readonly base: string;
  get(path: string): Promise<string>;
}

async function start(database: DatabaseOptions, options: Partial<PoolingModuleOptions> = {}): Promise<Running> {
  log = [];
  @Module({
    imports: [
      PoolingModule.forRoot({
        database: { url, size: 2, maxOverflow: 0, ...database },
        shutdown: { timeoutMs: 200 },
        ...options,
      }),
    ],
    controllers: [OrdersController],
    providers: [OrdersService],
  })
  class ApplicationModule {}
  const application = await NestFactory.create(ApplicationModule, { logger: new KeptLogger() });
  await application.listen(0, '127.0.0.1');
  const { port } = application.getHttpServer().address() as AddressInfo;
  const base = `http://127.0.0.1:${port}`;
  return {
    application,
    orders: application.get(OrdersService),
    pool: application.get(PoolRegistry).database(),
    base,
    get: async (path) => (await fetch(`${base}${path}`)).text(),
  };
}

function show(name: string, ...lines: string[]): void {
  console.log(`--- ${name}\n${lines.join('\n').trimEnd()}`);
}

/** The error of something that fails, in the way it reaches a log. */
async function errorOf(failing: Promise<unknown>): Promise<string> {
  const error = await failing.then(
    () => {
      throw new Error('it was to fail, and didn’t');
    },
    (reason: unknown) => reason as Error & { code?: string },
  );
  return `${error.name}${error.code === undefined ? '' : ` ${error.code}`}: ${error.message}`;
}

async function metrics({ get }: Running, pattern: RegExp): Promise<string[]> {
  const lines = (await get('/metrics')).split('\n');
  return lines.filter((line) => !line.startsWith('#') && pattern.test(line) && !line.endsWith(' 0'));
}

async function advice({ application }: Running, code: string): Promise<string[]> {
  const found = await application.get(PoolAdvisor).advise();
  return found.filter((each) => each.code === code).map((each) => `${each.severity} ${each.code}: ${each.message}`);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(10);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const TROUBLES: Record<string, () => Promise<void>> = {
  async exhaustion() {
    const running = await start({ acquireTimeoutMs: 1_000, slowAcquireMs: 100 });
    await running.orders.list();
    const reports = [running.orders.report(2), running.orders.report(2)];
    const waiting = [running.orders.list().catch(() => {}), errorOf(running.orders.list())] as const;
    await pause(50);
    show('exhaustion:metrics', ...(await metrics(running, /^db_pool_(in_use|max|waiting)/)));
    show('exhaustion:health', await running.get('/health/ready'));
    show('exhaustion:error', (await waiting[1]) as string);
    await Promise.all([...reports, ...waiting]);
    show('exhaustion:timeouts', ...(await metrics(running, /^db_pool_acquire_timeouts_total/)));
    const third = [running.orders.report(0.2), running.orders.report(0.2), running.get('/orders')];
    await Promise.all(third);
    show('exhaustion:slow', ...log.filter((line) => line.includes('slow acquire')));
    await running.application.close();
  },

  async leak() {
    const running = await start({ leakDetectionMs: 200, acquireTimeoutMs: 500 });
    await Promise.all([running.get('/orders/export'), running.get('/orders/export')]);
    await until(() => log.length >= 2);
    show('leak:log', log[0]!);
    show('leak:error', await errorOf(running.orders.list()));
    show('leak:metrics', ...(await metrics(running, /^db_pool_leak/)));
    show('leak:advice', ...(await advice(running, 'LEAK_SUSPECTED')));
    await running.application.close();
  },

  async transaction() {
    const running = await start({ leakDetectionMs: 60_000 });
    await running.get('/orders/pay');
    await pause(10_100);
    show('transaction:advice', ...(await advice(running, 'IDLE_IN_TRANSACTION')));
    await running.orders.finish();
    await running.application.close();
  },

  async stale() {
    const target = new URL(url);
    const proxy = await TcpProxy.listen({ port: Number(target.port) });
    target.port = String(proxy.port);
    const unchecked = await start({ url: target.href, prePing: false, queryTimeoutMs: 1_000 });
    await unchecked.orders.list();
    // What a firewall does: it forgets the connection, and tells nobody.
    proxy.blackhole();
    show('stale:error', await errorOf(unchecked.orders.list()));
    show('stale:advice', ...(await advice(unchecked, 'STALE_CONNECTION_RISK')));
    proxy.cut('rst');
    await proxy.forward();
    await unchecked.application.close();
    const checked = await start({ url: target.href, prePing: { idleMs: 0, timeoutMs: 2_000 } });
    await checked.orders.list();
    proxy.cut('rst');
    await until(() => checked.pool.statistics().closed.broken === 1);
    await checked.orders.list();
    show('stale:metrics', ...(await metrics(checked, /^db_pool_(opened|closed)_total/)));
    await checked.application.close();
    await proxy.close();
  },

  async down() {
    const running = await start({ url: 'postgres://127.0.0.1:1/orders', acquireTimeoutMs: 500 });
    show('down:error', await errorOf(running.orders.list()));
    await running.get('/health/ready');
    show('down:log', ...log.filter((line) => line.includes('PoolHealth')));
    show('down:metrics', ...(await metrics(running, /^db_pool_(connect_errors|acquire_timeouts)_total/)));
    await running.application.close();
  },

  async storm() {
    const running = await start({ size: 1, maxOverflow: 9 });
    for (let burst = 0; burst < 5; burst++) {
      await Promise.all(Array.from({ length: 10 }, () => running.orders.report(0.03)));
      await until(() => running.pool.statistics().closing === 0);
    }
    show('storm:metrics', ...(await metrics(running, /^db_pool_(opened_total|closed_total)/)));
    for (let request = 0; request < 10; request++) {
      const own = new DatabasePool('report', { url });
      await own.query('select 1');
      await own.end();
    }
    show('storm:advice', ...(await advice(running, 'POOL_PER_REQUEST')));
    await running.application.close();
  },

  async clients() {
    const server = await PostgresServer.start({ authentication: 'trust', maxConnections: 10 });
    const others = await Promise.all(
      Array.from({ length: 9 }, async () => {
        const client = new Client({ connectionString: server.url, application_name: 'another application' });
        await client.connect();
        return client;
      }),
    );
    const running = await start({ url: server.url, size: 10, acquireTimeoutMs: 500 });
    await running.orders.list();
    show('clients:advice', ...(await advice(running, 'POOL_EXCEEDS_SERVER')));
    const error = errorOf(Promise.all([running.orders.report(3), running.orders.list(), running.orders.list()]));
    show('clients:error', await error);
    show('clients:metrics', ...(await metrics(running, /^db_pool_server_/)));
    await running.application.close();
    await Promise.all(others.map((client) => client.end()));
    await server.close();
  },

  async slow() {
    const running = await start({ slowQueryMs: 100, queryTimeoutMs: 1_500 });
    await running.get('/orders/report?seconds=0.2');
    show('slow:log', ...log);
    show('slow:error', await errorOf(running.orders.report(5)));
    show('slow:metrics', ...(await metrics(running, /^db_pool_closed_total/)));
    await running.application.close();
  },

  async pgbouncer() {
    const program = findPgBouncer();
    if (program === undefined) return;
    const bouncer = await PgBouncer.start(program, url, 1);
    const running = await start({ url: bouncer.url, size: 4 });
    const pay = (): Promise<unknown> =>
      running.pool.withConnection(async (client) => {
        await client.query('begin');
        try {
          return await client.query('select $1::int as price', [1]);
        } finally {
          await client.query('rollback');
        }
      });
    const failed = (async () => {
      for (let round = 0; round < 4; round++) await Promise.all([pay(), pay(), pay(), pay()]);
    })();
    // From version 1.21 on PgBouncer knows of prepared statements.
    if (versionOf(program) < '1.21') show('pgbouncer:error', await errorOf(failed));
    else await failed;
    await running.application.close();
    await bouncer[Symbol.asyncDispose]();
  },

  async bodies() {
    const upstream = createServer((_request, response) => response.end(Buffer.alloc(4_000_000)));
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const carrier = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const running = await start({}, { http: { limitPerHost: 2, leakDetectionMs: 200, timeouts: { acquireMs: 500 } } });
    await Promise.all([1, 2].map((parcel) => running.get(`/orders/track?parcel=${carrier}/parcels/${parcel}`)));
    await until(() => log.length >= 2);
    show('bodies:log', log[0]!);
    show('bodies:error', await errorOf(running.orders.track(`${carrier}/parcels/3`)));
    show('bodies:metrics', ...(await metrics(running, /^http_pool_(in_use|limit|timeouts_total|leaks_total)/)));
    show('bodies:advice', ...(await advice(running, 'LEAK_SUSPECTED')));
    await running.application.close();
    upstream.closeAllConnections();
    upstream.close();
  },

  async shutdown() {
    const running = await start({ leakDetectionMs: 60_000 }, { shutdown: { timeoutMs: 300 } });
    show('shutdown:advice', ...(await advice(running, 'NO_SHUTDOWN_HOOKS')));
    await running.get('/orders/export');
    await running.application.close();
    show('shutdown:log', ...log);
    show('shutdown:error', await errorOf(running.orders.list()));
  },
};

const chosen = process.argv.slice(2);
for (const [name, trouble] of Object.entries(TROUBLES)) {
  if (chosen.length === 0 || chosen.includes(name)) await trouble();
}
