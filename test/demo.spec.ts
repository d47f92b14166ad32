import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { startDemo, type Demo } from '#test/support/demo.js';

const SEEDED_ORDERS = 12_000;

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown> & { message?: string; problems?: { path: string; message: string }[] };
  readonly tookMs: number;
}

async function call(url: string, init: { method?: string; json?: unknown } = {}): Promise<Answer> {
  const startedAt = performance.now();
  const response = await fetch(url, {
    method: init.method ?? (init.json === undefined ? 'GET' : 'POST'),
    ...(init.json === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(init.json) }),
  });
  const body = (await response.json()) as Answer['body'];
  return { status: response.status, body, tookMs: performance.now() - startedAt };
}

describe('the demo', { timeout: 120_000 }, () => {
  let database: TestDatabase;
  let demo: Demo;

  beforeAll(async () => {
    database = await createTestDatabase();
    demo = await startDemo({ DATABASE_URL: database.url });
  });

  afterAll(async () => {
    await demo.stop();
    await database.drop();
  });

  function setCarrier(condition: string): Promise<Answer> {
    return call(`${demo.carrier}/conditions`, { method: 'PUT', json: { condition } });
  }

  async function sentOrder(): Promise<number> {
    const [order] = await database.query<{ id: number }>(
      'SELECT id FROM orders WHERE tracking_number IS NOT NULL ORDER BY id LIMIT 1',
    );
    return order?.id as number;
  }

  it('says what to try, and is healthy with its database up', async () => {
    expect(demo.child.output()).toContain(`curl ${demo.shop}/orders/42`);
    const health = await call(`${demo.shop}/health`);
    expect(health).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(JSON.stringify(health.body)).toContain('"up"');
    expect((await call(`${demo.shop}/health/live`)).status).toBe(200);
    expect((await call(demo.shop)).body).toHaveProperty(['POST /orders']);
    expect((await call(`${demo.shop}/health/ready`)).status).toBe(200);
  });

  it('is seeded once, though it starts often and several at once', async () => {
    const others = await Promise.all([
      startDemo({ DATABASE_URL: database.url }),
      startDemo({ DATABASE_URL: database.url }),
    ]);
    const ends = await Promise.all(others.map((other) => other.stop()));
    expect(ends).toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ]);
    expect(await database.query('SELECT count(*)::int AS count FROM orders WHERE id <= $1', [SEEDED_ORDERS])).toEqual([
      { count: SEEDED_ORDERS },
    ]);
  });

  it('finds products by the words in their names', async () => {
    const { status, body } = await call(`${demo.shop}/products?search=LAMP+oak&inStock=true&limit=5`);
    expect(status).toBe(200);
    const products = body as unknown as { name: string; stock: number }[];
    expect(products.length).toBeGreaterThan(0);
    expect(products.length).toBeLessThanOrEqual(5);
    for (const product of products) expect(product).toMatchObject({ name: expect.stringMatching(/Oak .*Lamp/) });
    expect(products.every((product) => product.stock > 0)).toBe(true);
    expect((await call(`${demo.shop}/products?search=%25%25`)).body).toEqual([]);
  });

  it('shows an order with its lines, which add up', async () => {
    const { status, body } = await call(`${demo.shop}/orders/42`);
    const order = body as unknown as {
      totalCents: number;
      lines: { quantity: number; unitPriceCents: number; product: { name: string } }[];
    };
    expect(status).toBe(200);
    expect(order.lines.reduce((sum, line) => sum + line.quantity * line.unitPriceCents, 0)).toBe(order.totalCents);
    expect(order).toMatchObject({ id: 42, customer: { name: expect.any(String) } });
  });

  it('knows what is not there', async () => {
    expect(await call(`${demo.shop}/orders/999999`)).toMatchObject({
      status: 404,
      body: { message: 'There is no order 999999' },
    });
    expect((await call(`${demo.shop}/products/999999`)).status).toBe(404);
    expect((await call(`${demo.shop}/orders/999999/shipping`)).status).toBe(404);
  });

  it.each([
    ['/products?limit=0', ['limit']],
    ['/products?search=x&colour=red&limit=many', ['search', 'limit', '']],
    ['/products/first', ['']],
    ['/orders/4.2', ['']],
    ['/orders/99999999999', ['']],
  ])('answers 400 to GET %s and says what is wrong', async (path, problems) => {
    const { status, body } = await call(`${demo.shop}${path}`);
    expect(status).toBe(400);
    expect(body.problems?.map((problem) => problem.path)).toEqual(problems);
    expect(body.problems?.every((problem) => problem.message.length > 0)).toBe(true);
  });

  it.each([
    ['nothing', {}, ['customerId', 'lines']],
    ['no lines', { customerId: 1, lines: [] }, ['lines']],
    [
      'wrong lines',
      {
        customerId: 'me',
        lines: [
          { productId: 1, quantity: 0 },
          { productId: -1, quantity: 1, price: 1 },
        ],
      },
      ['customerId', 'lines.0.quantity', 'lines.1.productId', 'lines.1'],
    ],
    [
      'a product twice',
      {
        customerId: 1,
        lines: [
          { productId: 1, quantity: 1 },
          { productId: 1, quantity: 2 },
        ],
      },
      ['lines'],
    ],
  ])('answers 400 to an order with %s and says all that is wrong', async (_what, order, problems) => {
    const { status, body } = await call(`${demo.shop}/orders`, { json: order });
    expect(status).toBe(400);
    expect(body.problems?.map((problem) => problem.path)).toEqual(problems);
  });

  it('places an order and takes its goods from stock', async () => {
    await database.query('UPDATE products SET stock = 100 WHERE id IN (11, 12)');
    const lines = [
      { productId: 12, quantity: 3 },
      { productId: 11, quantity: 1 },
    ];
    const { status, body } = await call(`${demo.shop}/orders`, { json: { customerId: 7, lines } });
    expect(status).toBe(201);
    expect(body).toMatchObject({ status: 'placed', customer: { id: 7 }, trackingNumber: null });
    expect(await call(`${demo.shop}/orders/${String(body['id'])}`)).toMatchObject({ status: 200, body });
    expect(await call(`${demo.shop}/orders/${String(body['id'])}/shipping`)).toMatchObject({
      status: 200,
      body: { status: 'not shipped yet' },
    });
    expect(await database.query('SELECT id, stock FROM products WHERE id IN (11, 12) ORDER BY id')).toEqual([
      { id: 11, stock: 99 },
      { id: 12, stock: 97 },
    ]);
  });

  it('tells the carrier of an order that stands, and of no other', async () => {
    await setCarrier('steady');
    await database.query('UPDATE products SET stock = 100 WHERE id IN (13, 14)');
    await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.quantity = 13 THEN RAISE EXCEPTION 'refused with order %', NEW.order_id; END IF;
        RETURN NEW;
      END $$`);
    await database.query(
      // At the commit: the order has asked for everything by then.
      'CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON order_lines DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()',
    );
    const order = (quantity: number): Promise<Answer> =>
      call(`${demo.shop}/orders`, { json: { customerId: 7, lines: [{ productId: 13, quantity }] } });
    const told = async (id: number): Promise<boolean> =>
      (await fetch(`${demo.carrier}/pickups/order-${id}`)).status === 200;
    try {
      const placed = await order(1);
      expect(placed.status).toBe(201);
      const id = placed.body['id'] as number;
      expect(await told(id)).toBe(true);
      expect((await order(13)).status).toBe(500);
      // Of its number nothing is left but that the next one is higher.
      const [error] = await demo.child.prints(/refused with order (\d+)/);
      const refused = Number(error.match(/\d+/)?.[0]);
      expect(refused).toBeGreaterThan(id);
      expect(await told(refused)).toBe(false);
      expect((await call(`${demo.shop}/orders/${refused}`)).status).toBe(404);
      expect(await database.query('SELECT stock FROM products WHERE id = 13')).toEqual([{ stock: 99 }]);
    } finally {
      await database.query('DROP FUNCTION refuse CASCADE');
      await setCarrier('normal');
    }
  });

  it('lets an order stand of which the carrier can not be told, and says so', async () => {
    await database.query('UPDATE products SET stock = 100 WHERE id = 13');
    await setCarrier('failing');
    try {
      const order = { customerId: 7, lines: [{ productId: 13, quantity: 1 }] };
      const placed = await call(`${demo.shop}/orders`, { json: order });
      expect(placed.status).toBe(201);
      const id = String(placed.body['id']);
      expect((await call(`${demo.shop}/orders/${id}`)).status).toBe(200);
      expect((await fetch(`${demo.carrier}/pickups/order-${id}`)).status).toBe(404);
      await demo.child.prints(
        /a hook of afterCommit of a transaction that was begun by OrdersService\.place has failed/,
      );
      const metrics = await (await fetch(`${demo.shop}/metrics`)).text();
      expect(metrics).toMatch(/^db_pool_transaction_hook_failures_total{pool="default"} [1-9]/m);
    } finally {
      await setCarrier('normal');
    }
  });

  it('refuses an order for somebody or something unknown', async () => {
    const lines = [{ productId: 11, quantity: 1 }];
    expect(await call(`${demo.shop}/orders`, { json: { customerId: 999_999, lines } })).toMatchObject({
      status: 422,
      body: { message: 'There is no customer 999999' },
    });
    const unknown = { customerId: 7, lines: [...lines, { productId: 999_999, quantity: 1 }] };
    expect(await call(`${demo.shop}/orders`, { json: unknown })).toMatchObject({
      status: 422,
      body: { message: 'There is no product 999999' },
    });
  });

  it('never sells more than there is, however many order at once', async () => {
    await database.query('UPDATE products SET stock = 10 WHERE id IN (21, 22)');
    const orders = await Promise.all(
      Array.from({ length: 40 }, (_, index) => {
        const lines = [
          { productId: 21, quantity: 1 },
          { productId: 22, quantity: 1 },
        ];
        return call(`${demo.shop}/orders`, { json: { customerId: 7, lines: index % 2 ? lines : lines.reverse() } });
      }),
    );
    expect(orders.filter((order) => order.status === 201)).toHaveLength(10);
    const refused = orders.filter((order) => order.status === 409);
    expect(refused).toHaveLength(30);
    expect(refused[0]?.body.message).toMatch(/^Not in stock: .*: 1 wanted, 0 left/);
    expect(await database.query('SELECT stock FROM products WHERE id IN (21, 22)')).toEqual([
      { stock: 0 },
      { stock: 0 },
    ]);
  });

  it("passes on the carrier's word, and its failures as 502 and 504, soon", async () => {
    const url = `${demo.shop}/orders/${await sentOrder()}/shipping`;
    // The carrier has the odd failure: it may be one of those.
    await expect
      .poll(() => call(url))
      .toMatchObject({ status: 200, body: { trackingNumber: expect.any(String), events: expect.any(Array) } });

    await setCarrier('failing');
    const failed = await call(url);
    expect(failed).toMatchObject({ status: 502, body: { message: 'The carrier answered with an error (503)' } });
    expect(failed.tookMs).toBeLessThan(10_000);

    await setCarrier('silent');
    const late = await call(url);
    expect(late).toMatchObject({ status: 504, body: { message: 'The carrier did not answer in time' } });
    expect(late.tookMs).toBeGreaterThan(1_900);
    expect(late.tookMs).toBeLessThan(10_000);

    await setCarrier('normal');
    await expect.poll(async () => (await call(url)).status).toBe(200);
  });

  it('says 502 at once when the carrier is down', async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => probe.once('listening', resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));

    const lonely = await startDemo({ DATABASE_URL: database.url, CARRIER_URL: `http://127.0.0.1:${port}` });
    const failed = await call(`${lonely.shop}/orders/${await sentOrder()}/shipping`);
    expect(failed).toMatchObject({ status: 502, body: { message: 'The carrier can not be reached' } });
    expect(failed.tookMs).toBeLessThan(10_000);
    expect((await call(`${lonely.shop}/orders/42`)).status).toBe(200);
    await lonely.stop();
  });

  it('shows its pools as metrics', async () => {
    const metrics = await (await fetch(`${demo.shop}/metrics`)).text();
    expect(metrics).toMatch(/^db_pool_size\{pool="default"\} \d+$/m);
    expect(metrics).toMatch(/^db_pool_acquire_seconds_count\{pool="default"\} [1-9]/m);
    expect(metrics).toMatch(/^http_client_request_seconds_count\{.*pool="carrier".*\} [1-9]/m);
  });

  it.each([
    ['a wrong setting', { PORT: '70000' }, /Wrong environment variables[\s\S]*PORT/],
    ['a database that is not there', { DATABASE_URL: 'postgres://postgres:secret@127.0.0.1:1/shop' }, /ECONNREFUSED/],
  ])('ends at once, and says why, when it is given %s', async (_what, env, why) => {
    const failure: Error = await startDemo(env).then(
      () => new Error('it has started'),
      (error: Error) => error,
    );
    expect(failure.message).toMatch(why);
    expect(failure.message).not.toContain('secret');
  });
});

describe('the demo, ending', { timeout: 120_000 }, () => {
  /** Requests of every kind on kept connections, until nobody listens any more. */
  class Load {
    readonly answers = new Map<string, number | Error>();
    readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });
    #nextId = 1;
    #refused = false;

    async run(shop: string): Promise<void> {
      await Promise.all(
        Array.from({ length: 32 }, async () => {
          while (!this.#refused) await this.#one(shop, `r${this.#nextId++}`);
        }),
      );
      this.#agent.destroy();
    }

    async #one(shop: string, id: string): Promise<void> {
      const number = Number(id.slice(1));
      const path = ['/orders', `/orders/${number % 10_000}`, '/products?search=oak'][number % 3] as string;
      const body = JSON.stringify({ customerId: 7, lines: [{ productId: 1 + (number % 600), quantity: 1 }] });
      try {
        this.answers.set(id, await this.#send(`${shop}${path}`, id, number % 3 === 0 ? body : undefined));
      } catch (error) {
        this.#refused ||= (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
        this.answers.set(id, error as Error);
      }
    }

    #send(url: string, id: string, body: string | undefined): Promise<number> {
      return new Promise((resolve, reject) => {
        const headers = { 'x-request-id': id, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
        const request = httpRequest(url, { agent: this.#agent, method: body === undefined ? 'GET' : 'POST', headers });
        request.on('error', reject);
        request.on('response', (response) => {
          response.on('error', reject).on('end', () => resolve(response.statusCode as number));
          response.resume();
        });
        request.end(body);
      });
    }
  }

  it.each([1, 2, 3])('answers every request that it has accepted when SIGTERM comes under load (%i)', async () => {
    await using database = await createTestDatabase();
    const demo = await startDemo({ DATABASE_URL: database.url });
    const load = new Load();
    const finished = load.run(demo.shop);
    await expect.poll(() => load.answers.size, { timeout: 60_000 }).toBeGreaterThan(300);
    expect(await demo.stop()).toEqual({ code: 0, signal: null });
    await finished;

    const accepted = [...demo.child.output().matchAll(/^accepted (r\d+)$/gm)].map(([, id]) => id as string);
    expect(accepted.length).toBeGreaterThan(300);
    const failed = accepted
      .map((id) => ({ id, answer: load.answers.get(id) }))
      .filter(({ answer }) => typeof answer !== 'number' || answer >= 500);
    expect(failed).toEqual([]);
    await expect
      .poll(() =>
        database.query(
          "SELECT pid, query FROM pg_stat_activity WHERE application_name = 'shop' AND datname = current_database()",
        ),
      )
      .toEqual([]);
  });

  it('starts again on its own data after a kill, and finds what was ordered', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'demo-spec-'));
    try {
      const first = await startDemo({ DATA_DIRECTORY: join(folder, 'data') });
      const order = { customerId: 7, lines: [{ productId: 11, quantity: 1 }] };
      const placed = await call(`${first.shop}/orders`, { json: order });
      expect(placed.status).toBe(201);
      first.child.process.kill('SIGKILL');
      await first.child.ended;

      const second = await startDemo({ DATA_DIRECTORY: join(folder, 'data') });
      expect(await call(`${second.shop}/orders/${String(placed.body['id'])}`)).toMatchObject({
        status: 200,
        body: placed.body,
      });
      expect(await second.stop()).toEqual({ code: 0, signal: null });
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    }
  });
});
