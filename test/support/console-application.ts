import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Module, Param, Post, type INestApplication, type Type } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import type { PoolClient } from 'pg';
import {
  DatabasePool,
  HttpClient,
  InjectDb,
  InjectDbPool,
  InjectHttpClient,
  PoolingModule,
  type ConsoleOptions,
  type DatabaseOptions,
} from 'nestjs-pooling';

/** A name that would be markup if anybody let it. */
export const HOSTILE_NAME = `<img src=x onerror="window.injected=1">"'&`;

@Controller('orders')
export class OrdersController {
  readonly #exporting: PoolClient[] = [];

  constructor(
    @InjectDb() private readonly db: Kysely<unknown>,
    @InjectDbPool() private readonly pool: DatabasePool,
    @InjectHttpClient() private readonly http: HttpClient,
  ) {}

  /** Well behaved. */
  @Get()
  async list(): Promise<{ rows: number }> {
    const { rows } = await sql`select pg_sleep(0.02 + random() * 0.03), 'list orders' as what`.execute(this.db);
    return { rows: rows.length };
  }

  /** A transaction that takes its time. */
  @Post(':id/pay')
  async pay(@Param('id') id: string): Promise<{ paid: string }> {
    await this.db.transaction().execute(async (transaction) => {
      await sql`select pg_sleep(0.2), 'pay order' as what`.execute(transaction);
      await sql`select pg_sleep(0.2), 'book payment' as what`.execute(transaction);
    });
    return { paid: id };
  }

  /** Forgets to give its connection back. */
  @Get('export')
  async exportAll(): Promise<{ exported: number }> {
    const client = await this.pool.connect();
    this.#exporting.push(client);
    const { rows } = await client.query("select '<b>orders</b>' as export, $1::text as secret", ['parameter-value']);
    return { exported: rows.length };
  }

  @Get('shipping')
  async shipping(): Promise<unknown> {
    return this.http.get('/parcels').json();
  }
}

/** An application with a console, and what it needs. */
export interface ConsoleApplication extends AsyncDisposable {
  readonly application: INestApplication;
  readonly url: string;
  /** Requests a route of its own. */
  call(method: 'GET' | 'POST', path: string): Promise<Response>;
  /** Lists orders, so many at once, until it is disposed of. */
  load(atOnce: number): AsyncDisposable;
}

/** What a {@link ConsoleApplication} is made of. */
export interface ConsoleApplicationOptions {
  readonly databaseUrl: string;
  readonly console?: ConsoleOptions | false;
  readonly database?: DatabaseOptions;
  readonly adapter?: 'express' | 'fastify';
  readonly globalPrefix?: string;
  /** Whether every site may read the application's answers. */
  readonly cors?: boolean;
  /** Left out: a free one. */
  readonly port?: number;
  /** Another pool, under {@link HOSTILE_NAME}. */
  readonly hostilePool?: boolean;
  readonly providers?: readonly Type<unknown>[];
}

async function startCarrier(): Promise<Server> {
  const carrier = createServer((_request, response) => {
    setTimeout(() => response.setHeader('content-type', 'application/json').end('{"parcels":[]}'), 15);
  });
  carrier.listen(0, '127.0.0.1');
  await once(carrier, 'listening');
  return carrier;
}

/** Starts one on a free port. */
export async function startConsoleApplication(options: ConsoleApplicationOptions): Promise<ConsoleApplication> {
  const carrier = await startCarrier();
  const carrierUrl = `http://127.0.0.1:${(carrier.address() as AddressInfo).port}`;
  const others =
    options.hostilePool === true
      ? [PoolingModule.forDatabase({ name: HOSTILE_NAME, url: options.databaseUrl, size: 2, maxOverflow: 0 })]
      : [];

  @Module({
    imports: [
      PoolingModule.forRoot({
        database: { url: options.databaseUrl, ...options.database },
        http: { baseUrl: carrierUrl },
        console: options.console ?? {},
        // Nobody waits for what was leaked on purpose.
        shutdown: { timeoutMs: 100 },
      }),
      ...others,
    ],
    controllers: [OrdersController],
    providers: [...(options.providers ?? [])],
  })
  class ConsoleApplicationModule {}

  const module = await Test.createTestingModule({ imports: [ConsoleApplicationModule] }).compile();
  const application =
    options.adapter === 'fastify'
      ? module.createNestApplication(new FastifyAdapter(), { logger: false })
      : module.createNestApplication(new ExpressAdapter(), { logger: false });
  if (options.globalPrefix !== undefined) application.setGlobalPrefix(options.globalPrefix);
  if (options.cors === true) application.enableCors();
  await application.listen(options.port ?? 0, '127.0.0.1');
  const url = (await application.getUrl()).replace('[::1]', '127.0.0.1');
  const prefix = options.globalPrefix === undefined ? '' : `/${options.globalPrefix}`;
  const call = (method: 'GET' | 'POST', path: string): Promise<Response> => fetch(`${url}${prefix}${path}`, { method });
  return {
    application,
    url: `${url}${prefix}`,
    call,
    load(atOnce) {
      let going = true;
      const callers = Array.from({ length: atOnce }, async () => {
        while (going) await (await call('GET', '/orders')).arrayBuffer();
      });
      return {
        async [Symbol.asyncDispose]() {
          going = false;
          await Promise.all(callers);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await application.close();
      carrier.closeAllConnections();
      carrier.close();
    },
  };
}
