// What a project gets beside what the schematics write: a service with a database and an HTTP client, and tests of them.

/**
 * The files of the application under `src` and of its tests. `.js` at the end of imports where they are ES modules.
 *
 * @param tests where end-to-end tests are, seen from the project
 */
export function sourcesFor({ esm, source = 'src', tests = 'test' }) {
  const end = esm ? '.js' : '';
  const vitest = esm ? "import { describe, expect, it, beforeAll, afterAll } from 'vitest';\n" : '';
  return {
    [`${source}/items.module.ts`]: `import { Module } from '@nestjs/common';
import { ItemsController } from './items.controller${end}';
import { ItemsService } from './items.service${end}';

@Module({ controllers: [ItemsController], providers: [ItemsService] })
export class ItemsModule {}
`,
    [`${source}/items.service.ts`]: `import { Injectable } from '@nestjs/common';
import { Kysely, sql } from 'kysely';
import { DatabasePool, HttpClient, InjectDb, InjectDbPool, InjectHttpClient } from 'nestjs-pooling';

export interface Schema {
  items: { id: number; name: string };
}

@Injectable()
export class ItemsService {
  constructor(
    @InjectDb() private readonly db: Kysely<Schema>,
    @InjectDbPool() private readonly pool: DatabasePool,
    @InjectHttpClient() private readonly http: HttpClient,
  ) {}

  async sum(): Promise<number> {
    const { rows } = await sql<{ sum: number }>\`select 1 + 1 as sum\`.execute(this.db);
    return rows[0].sum;
  }

  async size(): Promise<number> {
    const { rows } = await this.pool.query<{ one: number }>('select 1 as one');
    return rows.length;
  }

  missing(): Promise<{ id: number }> {
    return this.db.selectFrom(sql<{ id: number }>\`(select 1 as id where false)\`.as('none')).selectAll().executeTakeFirstOrThrow();
  }

  async status(url: string): Promise<number> {
    const response = await this.http.get(url);
    return response.statusCode;
  }
}
`,
    [`${source}/items.controller.ts`]: `import { Controller, Get } from '@nestjs/common';
import { ItemsService } from './items.service${end}';

@Controller('items')
export class ItemsController {
  constructor(private readonly items: ItemsService) {}

  @Get()
  async all(): Promise<{ sum: number; size: number }> {
    return { sum: await this.items.sum(), size: await this.items.size() };
  }
}
`,
    [`${source}/items.service.spec.ts`]: `${vitest}import { Test } from '@nestjs/testing';
import { getDbPoolToken, getDbToken, getHttpClientToken, PoolingError, PoolNotConfiguredError } from 'nestjs-pooling';
import { ItemsService } from './items.service${end}';

describe('ItemsService', () => {
  it('takes what stands in for a pool', async () => {
    const testing = await Test.createTestingModule({
      providers: [
        ItemsService,
        { provide: getDbToken(), useValue: {} },
        { provide: getDbPoolToken(), useValue: { query: () => Promise.resolve({ rows: [{ one: 1 }] }) } },
        { provide: getHttpClientToken(), useValue: {} },
      ],
    }).compile();
    expect(await testing.get(ItemsService).size()).toBe(1);
  });

  it('knows the library’s errors', () => {
    expect(new PoolNotConfiguredError('default', 'none')).toBeInstanceOf(PoolingError);
  });
});
`,
    [`${tests}/pools.e2e-spec.ts`]: `${vitest}import { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Kysely, NoResultError, sql } from 'kysely';
import { DatabasePool, getDbPoolToken, getDbToken, getHttpClientToken, HttpClient, PoolClosedError, transactional } from 'nestjs-pooling';
import { beginTestTransaction, cloneDatabase, TcpProxy } from 'nestjs-pooling/testing';
import request from 'supertest';
import { AppModule } from './../src/app.module${end}';
import { ItemsService } from './../src/items.service${end}';

describe('pools (e2e)', () => {
  let app: INestApplication;

  beforeAll(async () => {
    app = (await Test.createTestingModule({ imports: [AppModule] }).compile()).createNestApplication();
    await app.listen(0, '127.0.0.1');
  });

  afterAll(() => app.close());

  it('are the classes that the application knows', async () => {
    expect(app.get(getDbPoolToken())).toBeInstanceOf(DatabasePool);
    expect(app.get(getDbToken())).toBeInstanceOf(Kysely);
    expect(app.get(getHttpClientToken())).toBeInstanceOf(HttpClient);
    await expect(app.get(ItemsService).missing()).rejects.toBeInstanceOf(NoResultError);
  });

  it('answer', async () => {
    await request(app.getHttpServer()).get('/items').expect(200, { sum: 2, size: 1 });
    const { port } = app.getHttpServer().address();
    expect(await app.get(ItemsService).status(\`http://127.0.0.1:\${port}/health/live\`)).toBe(200);
  });

  it('undo what a test has done, and give it a database of its own', async () => {
    const db = app.get<Kysely<unknown>>(getDbToken());
    const exists = async () => (await sql<{ it: string | null }>\`select to_regclass('rolled_back') as it\`.execute(db)).rows[0].it;
    const rollback = await beginTestTransaction(app.get<DatabasePool>(getDbPoolToken()));
    await transactional(db, () => sql\`create table rolled_back (id int)\`.execute(db));
    await request(app.getHttpServer()).get('/items').expect(200, { sum: 2, size: 1 });
    expect(await exists()).toBe('rolled_back');
    await rollback();
    expect(await exists()).toBeNull();
    const database = await cloneDatabase(process.env.DATABASE_URL as string, { template: 'template1' });
    const pool = new DatabasePool({ url: database.url });
    await pool.query('create table items (id int)');
    await pool.close();
    await database.drop();
  });

  it('are seen in the health, metrics and console routes', async () => {
    const { body } = await request(app.getHttpServer()).get('/health').expect(200);
    expect(body.info.database.status).toBe('up');
    const { text } = await request(app.getHttpServer()).get('/metrics').expect(200);
    expect(text).toContain('db_pool_size{pool="default"}');
    expect((await request(app.getHttpServer()).get('/pools').expect(200)).text).toContain('<title>');
    await request(app.getHttpServer()).get('/pools/uplot.js').expect(200);
  });

  it('can be tried out with the library’s own proxy, and end', async () => {
    const database = new URL(process.env.DATABASE_URL as string);
    const proxy = await TcpProxy.listen({ host: database.hostname, port: Number(database.port) });
    database.hostname = '127.0.0.1';
    database.port = String(proxy.port);
    const pool = new DatabasePool({ url: database.href });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await pool.close();
    await expect(pool.query('select 2')).rejects.toBeInstanceOf(PoolClosedError);
    await proxy.close();
  });
});
`,
  };
}

/** The root module, as the schematic left it, with the module above. */
export function withItems(appModule, { esm }) {
  const result = appModule
    .replace(/imports: \[/, '$&ItemsModule, ')
    .replace(/(?=\n@Module\()/, `import { ItemsModule } from './items.module${esm ? '.js' : ''}';\n`);
  if (!result.includes('[ItemsModule, ') || !result.includes('PoolingModule.forRoot(')) {
    throw new Error(`The schematic left another root module than expected:\n${appModule}`);
  }
  return result;
}
