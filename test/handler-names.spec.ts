import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getDbToken, InjectDb, InjectDbPool, PoolingModule, type DatabasePool, type Holder } from 'nestjs-pooling';
import { sql, type Kysely } from 'kysely';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

@Injectable()
class OrdersService {
  constructor(
    @InjectDbPool() private readonly pool: DatabasePool,
    @InjectDb() private readonly db: Kysely<unknown>,
  ) {}

  /** Who holds the connection that this takes. */
  async place(): Promise<Holder | undefined> {
    await this.pool.query('select 1');
    const client = await this.pool.connect();
    const [holder] = this.pool.holders();
    client.release();
    return holder;
  }

  /** The same of a transaction of Kysely. */
  async pay(): Promise<Holder | undefined> {
    return await this.db.transaction().execute(async (transaction) => {
      await sql`select 1`.execute(transaction);
      return this.pool.holders()[0];
    });
  }
}

@Controller('orders')
class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get('place')
  async place(): Promise<unknown> {
    // A promise that is returned, not awaited, would take the handler off the stack.
    return await this.orders.place();
  }

  @Get('pay')
  async pay(): Promise<unknown> {
    return await this.orders.pay();
  }
}

/** What a timer, a queue or a socket calls: no request is there. */
@Injectable()
class NightlyReport {
  constructor(private readonly orders: OrdersService) {}

  async write(): Promise<Holder | undefined> {
    await Promise.resolve();
    const holder = await this.orders.place();
    return holder;
  }
}

describe('who holds a connection is named', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterAll(() => database.drop());

  async function start(leakDetectionMs: number): Promise<{ url: string; report: NightlyReport } & AsyncDisposable> {
    @Module({
      imports: [PoolingModule.forRoot({ database: { url: database.url, leakDetectionMs }, http: false })],
      controllers: [OrdersController],
      providers: [OrdersService, NightlyReport],
    })
    class Application {}

    const application = (await Test.createTestingModule({ imports: [Application] }).compile()).createNestApplication({
      logger: false,
    });
    await application.listen(0, '127.0.0.1');
    // Kysely awaits its driver's first use before it acquires.
    await sql`select 1`.execute(application.get(getDbToken()));
    return {
      url: await application.getUrl(),
      report: application.get(NightlyReport),
      [Symbol.asyncDispose]: () => application.close(),
    };
  }

  it.each(['place', 'pay'])('by its controller and handler, through a service and awaits: %s', async (handler) => {
    await using application = await start(10_000);
    const holder = (await (await fetch(`${application.url}/orders/${handler}`)).json()) as Holder;
    expect(holder.label).toBe(`OrdersController.${handler}`);
    expect(holder.acquiredAt).toMatch(new RegExp(`^OrdersService\\.${handler} \\(handler-names\\.spec\\.ts:\\d+\\)$`));
  });

  it('by the function that began, where there is no request', async () => {
    await using application = await start(10_000);
    const found = new Promise<Holder | undefined>((resolve, reject) => {
      setTimeout(() => void application.report.write().then(resolve, reject), 1);
    });
    expect(await found).toMatchObject({
      label: expect.stringMatching(/^NightlyReport\.write$/) as string,
      acquiredAt: expect.stringMatching(/^OrdersService\.place \(handler-names\.spec\.ts:\d+\)$/) as string,
    });
  });

  it('not at all while leak detection is off: that costs nothing', async () => {
    await using application = await start(0);
    const holder = (await (await fetch(`${application.url}/orders/place`)).json()) as Holder;
    expect(holder).toMatchObject({ connection: 1, leaked: false });
    expect(holder).not.toHaveProperty('label');
    expect(holder).not.toHaveProperty('stack');
  });
});
