import { AsyncLocalStorage } from 'node:async_hooks';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import { sql } from 'kysely';
import {
  createKysely,
  DatabasePool,
  HttpClient,
  type AcquireOperation,
  type ExchangeOperation,
  type QueryOperation,
  type TransactionOperation,
} from 'nestjs-pooling';
import { useTestDatabase } from '#test/support/database.js';
import { answerJson, CountingServer, refusedPort } from '#test/support/http-server.js';

const database = useTestDatabase();

/** What is published on one channel while it is in use: the events of each message, in order. */
class Listener<Message extends object> implements Disposable {
  readonly heard = new Map<Message, string[]>();
  readonly #channel;
  readonly #handlers;

  constructor(name: string) {
    const hear = (event: string) => (message: unknown) => {
      const events = this.heard.get(message as Message);
      if (events === undefined) this.heard.set(message as Message, [event]);
      else events.push(event);
    };
    const events = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;
    this.#handlers = Object.fromEntries(events.map((event) => [event, hear(event)])) as never;
    this.#channel = tracingChannel(`nestjs-pooling:${name}`);
    this.#channel.subscribe(this.#handlers);
  }

  [Symbol.dispose](): void {
    this.#channel.unsubscribe(this.#handlers);
  }
}

const WELL = ['start', 'end', 'asyncStart', 'asyncEnd'];
const BADLY = ['start', 'end', 'error', 'asyncStart', 'asyncEnd'];

describe('the tracing channels', () => {
  it('tell of an acquire that waits, from its start to its end', async () => {
    await using pool = new DatabasePool('heard', { url: database.url, size: 1, maxOverflow: 0 });
    using listener = new Listener<AcquireOperation>('acquire');
    const client = await pool.connect();
    await expect(pool.connect({ timeoutMs: 20 })).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    client.release();
    (await pool.connect()).release();
    const messages = [...listener.heard];
    expect(messages.map(([, events]) => events)).toEqual([WELL, BADLY]);
    expect(messages.map(([{ kind, pool: name, reason }]) => [kind, name, reason])).toEqual([
      ['database', 'heard', 'dial'],
      ['database', 'heard', 'queue'],
    ]);
    expect(messages[1]?.[0].error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
  });

  it('tell of each statement, with its text and without its values', async () => {
    await using pool = new DatabasePool('heard', { url: database.url, size: 1 });
    using listener = new Listener<QueryOperation>('query');
    await pool.query('select $1::text', ['secret']);
    await pool.query("select 'secret'::int").catch(() => {});
    const messages = [...listener.heard];
    expect(messages.map(([, events]) => events)).toEqual([WELL, BADLY]);
    expect(messages[0]?.[0]).toMatchObject({
      pool: 'heard',
      text: 'select $1::text',
      summary: 'SELECT',
      database: database.name,
      host: '127.0.0.1',
      connection: 1,
      rows: 1,
    });
    expect(messages[1]?.[0]).toMatchObject({ text: 'select ?::int', error: { code: '22P02' } });
    expect(JSON.stringify(messages.map(([{ error: _error, ...rest }]) => rest))).not.toContain('secret');
  });

  it('tell of a transaction, and of its statements within it', async () => {
    await using pool = new DatabasePool('heard', { url: database.url, size: 1 });
    using transactions = new Listener<TransactionOperation>('transaction');
    using queries = new Listener<QueryOperation>('query');
    const db = createKysely<Record<string, never>>(pool);
    await db.transaction().execute(async (trx) => void (await sql`select 1`.execute(trx)));
    const messages = [...transactions.heard];
    expect(messages.map(([, events]) => events)).toEqual([WELL]);
    expect(messages[0]?.[0]).toMatchObject({ pool: 'heard', attempts: 1, outcome: 'committed' });
    expect([...queries.heard.keys()].map(({ text }) => text)).toEqual(['select ?']);
  });

  it('tell of each try of an exchange, and let a tracer send a header with it', async () => {
    await using server = await CountingServer.listen((request, response) => answerJson(response, request.headers));
    await using client = new HttpClient('heard', { retry: false });
    using listener = new Listener<ExchangeOperation>('exchange');
    const start = tracingChannel('nestjs-pooling:exchange').start;
    const add = (message: unknown): void => (message as ExchangeOperation).addHeader('x-trace', '7');
    start.subscribe(add);
    const answer = await client.get(`${server.url}/?sig=secret`).json<Record<string, string>>();
    start.unsubscribe(add);
    expect(answer['x-trace']).toBe('7');
    await client.get(`http://127.0.0.1:${await refusedPort()}/`).catch(() => {});
    const messages = [...listener.heard];
    expect(messages.map(([, events]) => events)).toEqual([WELL, BADLY]);
    expect(messages[0]?.[0]).toMatchObject({
      pool: 'heard',
      method: 'GET',
      url: `${server.url}/?sig=REDACTED`,
      host: '127.0.0.1',
      port: server.port,
      scheme: 'http',
      resends: 0,
      statusCode: 200,
    });
    expect(messages[1]?.[0].error).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('run a try in the stores that a tracer has bound', async () => {
    await using server = await CountingServer.listen((_request, response) => response.end());
    await using client = new HttpClient('bound');
    const store = new AsyncLocalStorage<unknown>();
    const { start } = tracingChannel('nestjs-pooling:exchange');
    const found: unknown[] = [];
    const sent = channel('undici:client:sendHeaders');
    const look = (): void => void found.push(store.getStore());
    start.bindStore(store as never, (message) => message as never);
    sent.subscribe(look);
    await client.get(server.url);
    sent.unsubscribe(look);
    start.unbindStore(store as never);
    expect(found).toMatchObject([{ pool: 'bound', method: 'GET' }]);
  });
});
