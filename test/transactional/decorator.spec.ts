import {
  Controller,
  Get,
  Injectable,
  Logger,
  Module,
  Param,
  Post,
  Scope,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import { inspect } from 'node:util';
import request from 'supertest';
import {
  afterCommit,
  getDbPoolToken,
  getDbToken,
  InjectDb,
  PoolingModule,
  Transactional,
  type DatabasePool,
} from 'nestjs-pooling';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { rejection, type Tables } from './laboratory.js';

let database: TestDatabase;
let other: TestDatabase;
beforeAll(async () => {
  [database, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  for (const each of [database, other]) await each.query('create table entry (name text not null unique)');
});
afterAll(() => Promise.all([database.drop(), other.drop()]));
beforeEach(() => Promise.all([database.query('truncate entry'), other.query('truncate entry')]));

async function committed(of: TestDatabase = database): Promise<string[]> {
  const rows = await of.query<{ name: string }>('select name from entry order by name');
  return rows.map(({ name }) => name);
}

@Injectable()
class StockService {
  constructor(@InjectDb() private readonly db: Kysely<Tables>) {}

  async take(name: string): Promise<void> {
    await this.db.insertInto('entry').values({ name }).execute();
  }
}

const mails: string[] = [];
beforeEach(() => void mails.splice(0));

/** An order takes two entries, and fails when asked to. */
@Injectable()
class OrdersService {
  constructor(
    @InjectDb() private readonly db: Kysely<Tables>,
    private readonly stock: StockService,
  ) {}

  @Transactional()
  async place(name: string): Promise<string> {
    await this.stock.take(`${name}, stock`);
    await this.db.insertInto('entry').values({ name }).execute();
    afterCommit(() => void mails.push(name));
    if (name.startsWith('bad')) throw new Error(name);
    return name;
  }
}

/** What a class of each kind has to show: one that is good stays, of one that is bad nothing does. */
async function showsTransactions(
  place: (name: string) => Promise<unknown>,
  of: TestDatabase = database,
): Promise<void> {
  await place('good');
  await rejection(place('bad'));
  expect(await committed(of)).toEqual(['good', 'good, stock']);
  expect(mails).toEqual(['good']);
}

const pooling = (url = database.url): ReturnType<typeof PoolingModule.forRoot> =>
  PoolingModule.forRoot({ database: { url }, http: false, health: false, metrics: false });

const modules: TestingModule[] = [];
afterEach(async () => {
  await Promise.all(modules.splice(0).map((module) => module.close()));
});

async function start(
  providers: Provider[],
  controllers: Type<unknown>[] = [],
  imports: Parameters<typeof Test.createTestingModule>[0]['imports'] = [pooling()],
): Promise<TestingModule> {
  @Module({ imports, providers, controllers })
  class Application {}

  const module = await Test.createTestingModule({ imports: [Application] }).compile();
  try {
    await module.init();
  } catch (error) {
    // Nest 11 rejects with it once more.
    await module.close().catch(() => undefined);
    throw error;
  }
  modules.push(module);
  return module;
}

describe('@Transactional()', () => {
  it('runs what the method calls in one transaction, through each one’s own @InjectDb()', async () => {
    const module = await start([OrdersService, StockService]);
    await showsTransactions((name) => module.get(OrdersService).place(name));
  });

  it('works in a controller, whose routes and parameters stay', async () => {
    @Controller('orders')
    class OrdersController {
      constructor(private readonly orders: OrdersService) {}

      @Transactional()
      @Post(':name')
      async above(@Param('name') name: string): Promise<string> {
        return await this.orders.place(name);
      }

      @Post('below/:name')
      @Transactional()
      async below(@Param('name') name: string): Promise<string> {
        await this.orders.place(name);
        throw new Error('rolled back');
      }
    }

    const module = await start([OrdersService, StockService], [OrdersController]);
    const application = module.createNestApplication({ logger: false });
    await application.init();
    const server: unknown = application.getHttpServer();
    expect((await request(server as never).post('/orders/good')).text).toBe('good');
    expect((await request(server as never).post('/orders/below/other')).status).toBe(500);
    expect(await committed()).toEqual(['good', 'good, stock']);
  });

  it('works with interceptors above it, and on each instance of a request-scoped class', async () => {
    const kept: unknown[] = [];

    class Keeping implements NestInterceptor {
      intercept(context: ExecutionContext, next: CallHandler): ReturnType<CallHandler['handle']> {
        kept.push(context.getHandler().name);
        return next.handle();
      }
    }

    @Injectable({ scope: Scope.REQUEST })
    class RequestOrders extends OrdersService {}

    @Controller('orders')
    class OrdersController {
      constructor(private readonly orders: RequestOrders) {}

      @Get(':name')
      @UseInterceptors(Keeping)
      @Transactional()
      async place(@Param('name') name: string): Promise<string> {
        return await this.orders.place(name);
      }
    }

    const module = await start([RequestOrders, StockService], [OrdersController]);
    const application = module.createNestApplication({ logger: false });
    await application.init();
    const server: unknown = application.getHttpServer();
    const get = async (name: string): Promise<void> => {
      const { status } = await request(server as never).get(`/orders/${name}`);
      if (status !== 200) throw new Error(String(status));
    };
    await showsTransactions(get);
    expect(kept).toEqual(['place', 'place']);
  });

  it('works on transient instances, and on those that ModuleRef makes', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class TransientOrders extends OrdersService {}

    @Injectable()
    class Maker {
      constructor(readonly modules: ModuleRef) {}
    }

    const module = await start([TransientOrders, StockService, Maker]);
    await showsTransactions(async (name) => (await module.resolve(TransientOrders)).place(name));
    await database.query('truncate entry');
    mails.splice(0);
    const made = await module.get(Maker).modules.create(OrdersService);
    await showsTransactions((name) => made.place(name));
  });

  it('is inherited, overridden and called by way of super', async () => {
    @Injectable()
    class Inherited extends OrdersService {}

    @Injectable()
    class Overridden extends OrdersService {
      override async place(name: string): Promise<string> {
        return `${await super.place(name)}!`;
      }
    }

    @Injectable()
    class Decorated extends OrdersService {
      @Transactional({ propagation: 'requires-new' })
      override async place(name: string): Promise<string> {
        return await super.place(name);
      }
    }

    const module = await start([Inherited, Overridden, Decorated, StockService]);
    for (const type of [Inherited, Overridden, Decorated]) {
      await showsTransactions((name) => module.get<OrdersService>(type).place(name));
      await database.query('truncate entry');
      mails.splice(0);
    }
  });

  it('names the database, and two of them don’t meet', async () => {
    @Injectable()
    class ReportsService {
      constructor(@InjectDb('reports') private readonly db: Kysely<Tables>) {}

      @Transactional({ database: 'reports' })
      async write(name: string): Promise<void> {
        await this.db.insertInto('entry').values({ name }).execute();
        if (name.startsWith('bad')) throw new Error(name);
      }
    }

    @Injectable()
    class Both {
      constructor(
        private readonly orders: OrdersService,
        private readonly reports: ReportsService,
      ) {}

      @Transactional()
      async run(order: string, report: string): Promise<void> {
        await this.orders.place(order);
        await this.reports.write(report);
      }
    }

    const module = await start(
      [OrdersService, StockService, ReportsService, Both],
      [],
      [pooling(), PoolingModule.forDatabase({ name: 'reports', url: other.url })],
    );
    await module.get(Both).run('good', 'good');
    await rejection(module.get(Both).run('fine', 'bad'));
    expect([await committed(), await committed(other)]).toEqual([['good', 'good, stock'], ['good']]);
  });

  it('of two applications in one process runs on the database of each', async () => {
    const [one, two] = await Promise.all([
      start([OrdersService, StockService], [], [pooling()]),
      start([OrdersService, StockService], [], [pooling(other.url)]),
    ]);
    await Promise.all(
      [one, two].map(async (module, at) => {
        const orders = module.get(OrdersService);
        await Promise.all([orders.place(`good ${at}`), rejection(orders.place(`bad ${at}`))]);
      }),
    );
    expect(await committed()).toEqual(['good 0', 'good 0, stock']);
    expect(await committed(other)).toEqual(['good 1', 'good 1, stock']);
    expect(mails.toSorted()).toEqual(['good 0', 'good 1']);
  });

  it('of one application called in a transaction of another one doesn’t join it', async () => {
    const [one, two] = await Promise.all([
      start([OrdersService, StockService], [], [pooling()]),
      start([OrdersService, StockService], [], [pooling(other.url)]),
    ]);

    @Injectable()
    class Outer {
      @Transactional()
      async run(): Promise<void> {
        await two.get(OrdersService).place('good');
        throw new Error('outer');
      }
    }

    const outer = await one.get(ModuleRef).create(Outer);
    await rejection(outer.run());
    expect([await committed(), await committed(other)]).toEqual([[], ['good', 'good, stock']]);
  });

  it('leaves nothing in the instance that its owner has not put there', async () => {
    const module = await start([OrdersService, StockService]);
    const orders = module.get(OrdersService);
    expect(Reflect.ownKeys(orders)).toEqual(['db', 'stock']);
    expect(inspect(orders, { depth: 0 })).not.toMatch(/transactional/i);
    expect([orders.place.name, orders.place.length]).toEqual(['place', 1]);
  });
});

describe('without what it needs, @Transactional()', () => {
  it('refuses to start with a database that nobody has configured, and names class and method', async () => {
    @Injectable()
    class ArchiveService {
      @Transactional({ database: 'archive' })
      async sweep(): Promise<void> {}
    }

    const error = await rejection(start([ArchiveService]));
    expect(error).toMatchObject({ code: 'ERR_POOL_NOT_CONFIGURED', pool: 'archive' });
    expect(error.message).toMatch(/ArchiveService\.sweep/);
    expect(error.message).toMatch(/there is default/);
  });

  it.each<[string, () => Promise<OrdersService> | OrdersService]>([
    ['an instance of a unit test', () => new OrdersService({} as never, {} as never)],
    [
      'what a factory makes',
      async () => {
        const module = await start([
          StockService,
          {
            provide: OrdersService,
            inject: [getDbToken(), StockService],
            useFactory: (db: Kysely<Tables>, stock: StockService) => new OrdersService(db, stock),
          },
        ]);
        return module.get(OrdersService);
      },
    ],
    [
      'a value',
      async () => {
        const module = await start([{ provide: OrdersService, useValue: new OrdersService({} as never, {} as never) }]);
        return module.get(OrdersService);
      },
    ],
  ])('on %s says what to do instead', async (_, make) => {
    const error = await rejection((await make()).place('good'));
    expect(error).toMatchObject({ code: 'ERR_POOL_NOT_CONFIGURED' });
    expect(error.message).toMatch(/OrdersService\.place/);
    expect(error.message).toMatch(/transactional\(db, fn\)/);
  });

  it('over `database: false` is not configured', async () => {
    @Injectable()
    class Lonely {
      @Transactional()
      async run(): Promise<void> {}
    }

    const module = await start(
      [Lonely],
      [],
      [PoolingModule.forRoot({ database: false, http: false, health: false, metrics: false })],
    );
    expect(await rejection(module.get(Lonely).run())).toMatchObject({ code: 'ERR_POOL_NOT_CONFIGURED' });
  });

  it('over a fake runs the method as it is and its hooks after it, and says so once', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    try {
      const calls: string[] = [];
      const execute = (): Promise<unknown[]> => Promise.resolve([calls.push('query')]);
      const fake = { insertInto: () => ({ values: () => ({ execute }) }) };

      @Module({ imports: [pooling()], providers: [OrdersService, StockService] })
      class Application {}

      const module = await Test.createTestingModule({ imports: [Application] })
        .overrideProvider(getDbToken())
        .useValue(fake)
        .compile();
      modules.push(module);
      await module.init();
      const orders = module.get(OrdersService);
      await orders.place('good');
      await rejection(orders.place('bad'));
      expect([calls.length, mails]).toEqual([4, ['good']]);
      const said = warn.mock.calls.filter(([message]) => String(message).includes('without a transaction'));
      expect(said).toHaveLength(1);
      expect(module.get<DatabasePool>(getDbPoolToken()).statistics().opened).toBe(0);
    } finally {
      warn.mockRestore();
    }
  });

  it('is refused on what is no method of an instance', () => {
    expect(() => Transactional({ propagation: 'sometimes' as never })({}, 'place', { value: async () => {} })).toThrow(
      /propagation/,
    );
    expect(() => {
      class Static {
        @Transactional()
        static async run(): Promise<void> {}
      }
      return Static;
    }).toThrow(/static/);
    for (const value of [async function* () {}, function* () {}]) {
      expect(() => Transactional()({}, 'rows', { value: value as never })).toThrow(/rows is a generator/);
    }
  });
});

describe('row-level security', () => {
  it('by settings that a function gives holds in each request for its tenant alone', async () => {
    await database.query('create table document (tenant text not null, name text not null)');
    await database.query("insert into document values ('a', 'of a'), ('b', 'of b')");
    await database.query('alter table document enable row level security');
    await database.query("create policy own on document using (tenant = current_setting('app.tenant', true))");
    await database.query(`create role ${database.name}_app`);
    await database.query(`grant select on document to ${database.name}_app`);
    let tenant = 'a';

    @Injectable()
    class Documents {
      constructor(@InjectDb() private readonly db: Kysely<unknown>) {}

      @Transactional({ settings: () => ({ 'app.tenant': tenant, role: `${database.name}_app` }) })
      async names(): Promise<string[]> {
        const { rows } = await sql<{ name: string }>`select name from document`.execute(this.db);
        return rows.map(({ name }) => name);
      }
    }

    const module = await start([Documents]);
    const documents = module.get(Documents);
    expect(await documents.names()).toEqual(['of a']);
    tenant = 'b';
    expect(await documents.names()).toEqual(['of b']);
    await database.query('drop table document');
    await database.query(`drop role ${database.name}_app`);
  });
});
