import { DatabasePool, spansFor, type DatabaseOptions, type DatabasePoolDependencies } from 'nestjs-pooling';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { SpanRecorder, unknownAttributes, type RecordedSpan } from '#test/support/spans.js';

let database: TestDatabase;
let recorder: SpanRecorder;
beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  recorder = new SpanRecorder();
});
afterEach(() => recorder[Symbol.dispose]());
afterAll(() => database.drop());

function poolOf(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
  const given = { url: database.url, size: 1, maxOverflow: 0, ...options };
  return new DatabasePool('orders', given, { spans: spansFor(), ...dependencies });
}

function waits(): RecordedSpan[] {
  expect(recorder.open).toBe(0);
  const spans = recorder.take().filter(({ name }) => name.startsWith('acquire'));
  expect(unknownAttributes(spans)).toEqual([]);
  return spans;
}

const REASON = 'nestjs_pooling.acquire.reason';
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: { code?: unknown }) => error.code,
  );

describe('the wait of an acquire', () => {
  it('has a span under the caller, and none where there is a connection at once', async () => {
    await using pool = poolOf();
    (await recorder.run('first', () => pool.connect())).release();
    (await recorder.run('second', () => pool.connect())).release();
    expect(waits()).toMatchObject([
      {
        name: 'acquire orders',
        parent: 'first',
        kind: 'internal',
        failed: false,
        attributes: { 'db.client.connection.pool.name': 'orders', [REASON]: 'dial' },
      },
    ]);
  });

  it('names the handler that held longest, and leads to its trace', async () => {
    let label = 'OrdersController.place';
    await using pool = poolOf({}, { label: () => label });
    const holder = await recorder.run('holder', async (span) => {
      const client = await pool.connect();
      return { client, spanId: span.spanContext().spanId };
    });
    waits();
    label = 'OrdersController.byId';
    const second = recorder.run('waiter', () => pool.connect());
    setTimeout(() => holder.client.release(), 60);
    (await second).release();
    const [wait] = waits();
    expect(wait).toMatchObject({
      parent: 'waiter',
      attributes: { [REASON]: 'queue', 'nestjs_pooling.acquire.held_by': 'OrdersController.place' },
      links: [{ spanId: holder.spanId }],
    });
    expect(wait?.ms).toBeGreaterThan(50);
  });

  it('behind the check of an idle connection says so', async () => {
    await using pool = poolOf({ prePing: { idleMs: 0 } });
    (await pool.connect()).release();
    waits();
    (await pool.connect()).release();
    expect(waits().map(({ attributes }) => attributes[REASON])).toEqual(['check']);
  });

  it('behind other slow queries says queue, though a connection is idle', async () => {
    await using gate = await Gate.closed(database.url);
    await using pool = poolOf({ size: 2, quickReserve: 1 });
    const text = 'select pg_advisory_xact_lock_shared($1::bigint)';
    const pass = (key: number): Promise<unknown> => pool.query(text, [key]);
    await Promise.all([pool.connect(), pool.connect()].map(async (client) => (await client).release()));
    for (let use = 0; use < 2; use++) {
      const learned = await Gate.closed(database.url);
      const passing = pass(learned.key);
      await learned.waitedAt();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await learned.open();
      await passing;
    }
    waits();
    const holder = pass(gate.key);
    const behind = pass(gate.key);
    await gate.waitedAt();
    expect(pool.statistics()).toMatchObject({ inUse: 1, idle: 1, aside: 1 });
    await gate.open();
    await Promise.all([holder, behind]);
    expect(waits().map(({ attributes }) => attributes[REASON])).toEqual(['queue']);
  });

  it('that ended without a connection has failed, whatever the reason', async () => {
    await using pool = poolOf({ maxWaiting: 1 });
    const held = await pool.connect();
    waits();
    const controller = new AbortController();
    const aborted = codeOf(pool.connect({ signal: controller.signal }));
    expect(await codeOf(pool.connect())).toBe('ERR_POOL_QUEUE_FULL');
    controller.abort();
    await aborted;
    expect(await codeOf(pool.connect({ timeoutMs: 20 }))).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    held.release();
    await pool.close();
    expect(await codeOf(pool.connect())).toBe('ERR_POOL_CLOSED');
    const spans = waits();
    expect(spans.every(({ failed, message }) => failed && message === undefined)).toBe(true);
    expect(spans.map(({ attributes }) => attributes['error.type'])).toEqual([
      'ERR_POOL_QUEUE_FULL',
      'AbortError',
      'ERR_POOL_ACQUIRE_TIMEOUT',
      'ERR_POOL_CLOSED',
    ]);
  });

  it('behind a server that refuses has failed with the acquire', async () => {
    await using pool = poolOf({ url: 'postgres://127.0.0.1:1/none', acquireTimeoutMs: 300 });
    const code = await codeOf(recorder.run('caller', () => pool.connect()));
    expect(waits()).toMatchObject([
      { parent: 'caller', failed: true, attributes: { [REASON]: 'dial', 'error.type': code } },
    ]);
  });

  it("of the pool's own questions has no span", async () => {
    await using pool = poolOf();
    await pool.ping();
    expect(recorder.take()).toEqual([]);
  });
});
