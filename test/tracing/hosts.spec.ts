import { tracingChannel } from 'node:diagnostics_channel';
import { createKysely, DatabasePool, spansFor, type QueryOperation } from 'nestjs-pooling';
import { TcpProxy } from 'nestjs-pooling/testing';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { SpanRecorder, unknownAttributes } from '#test/support/spans.js';

let database: TestDatabase;
let first: TcpProxy;
let second: TcpProxy;
let recorder: SpanRecorder;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('create table orders (id int)');
});
beforeEach(async () => {
  const port = Number(new URL(database.url).port);
  [first, second] = await Promise.all([TcpProxy.listen({ port }), TcpProxy.listen({ port })]);
  recorder = new SpanRecorder();
});
afterEach(async () => {
  recorder[Symbol.dispose]();
  await Promise.all([first.close(), second.close()]);
});
afterAll(() => database.drop());

function poolOn(...proxies: TcpProxy[]): DatabasePool {
  const hosts = proxies.map(({ port }) => ({ host: '127.0.0.1', port }));
  const { pathname, username, password } = new URL(database.url);
  const connection = { user: username, password, database: pathname.slice(1) };
  return new DatabasePool('shop', { connection, hosts, size: 1, maxOverflow: 0 }, { spans: spansFor() });
}

/** Where each statement ran that has ended by now. */
function places(): unknown[] {
  const spans = recorder.take().filter(({ kind }) => kind === 'client');
  expect(unknownAttributes(spans)).toEqual([]);
  return spans.map(({ name, attributes }) => [name, attributes['server.address'], attributes['server.port']]);
}

describe('with several hosts, a statement', () => {
  it('says on which of them it ran, also when the connections have moved on', async () => {
    await using pool = poolOn(first, second);
    const db = createKysely<{ orders: { id: number } }>(pool);
    const run = async (): Promise<void> => {
      await pool.query('select $1::int', [1]);
      await db.selectFrom('orders').select('id').execute();
      await db.transaction().execute((trx) => trx.selectFrom('orders').select('id').execute());
    };
    await run();
    expect(places()).toEqual([
      ['SELECT', '127.0.0.1', first.port],
      ['SELECT orders', '127.0.0.1', first.port],
      ['SELECT orders', '127.0.0.1', first.port],
    ]);
    await first.refuse();
    pool.expireAll();
    await run();
    expect(places()).toEqual([
      ['SELECT', '127.0.0.1', second.port],
      ['SELECT orders', '127.0.0.1', second.port],
      ['SELECT orders', '127.0.0.1', second.port],
    ]);
  });

  it('does not name the first one when that has never answered', async () => {
    await first.refuse();
    await using pool = poolOn(first, second);
    const heard: unknown[] = [];
    const listen = (message: unknown): void => void heard.push((message as QueryOperation).port);
    const { start } = tracingChannel('nestjs-pooling:query');
    start.subscribe(listen);
    await pool.query('select 1');
    start.unsubscribe(listen);
    expect(places()).toEqual([['SELECT', '127.0.0.1', second.port]]);
    expect(heard).toEqual([second.port]);
  });
});
