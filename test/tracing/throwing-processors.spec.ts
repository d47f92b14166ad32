import { context, propagation, trace } from '@opentelemetry/api';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { createKysely, DatabasePool, HttpClient, spansFor, transactional } from 'nestjs-pooling';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { useTestDatabase } from '#test/support/database.js';
import { uncaughtErrors } from '#test/support/uncaught-errors.js';

const database = useTestDatabase('create table item (id int)');

/** OpenTelemetry hands on what a processor of spans throws: `span.end()` throws it. */
class ThrowingProcessor {
  ended = 0;
  onStart(): void {}
  onEnd(): void {
    this.ended++;
    throw new Error('no room for this span');
  }
  forceFlush = (): Promise<void> => Promise.resolve();
  shutdown = (): Promise<void> => Promise.resolve();
}

let processor: ThrowingProcessor;
beforeEach(() => {
  processor = new ThrowingProcessor();
  new NodeTracerProvider({ spanProcessors: [processor] }).register();
});
afterEach(() => {
  trace.disable();
  context.disable();
  propagation.disable();
});

describe('spans whose processor throws', () => {
  it('cost no query, transaction or acquire its answer, and are heard of in a later turn', async () => {
    const uncaught = uncaughtErrors();
    const options = { url: database.url, size: 1, maxOverflow: 0 };
    await using pool = new DatabasePool('shop', options, { spans: spansFor('auto') });
    const db = createKysely<{ item: { id: number } }>(pool);
    const asked = Array.from({ length: 5 }, (_, id) => db.insertInto('item').values({ id }).returning('id').execute());
    expect((await Promise.all(asked)).flat()).toHaveLength(5);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await expect(pool.query('select 1/0')).rejects.toMatchObject({ code: '22012' });
    await transactional(db, () => db.deleteFrom('item').where('id', '=', 1).execute());
    await expect(
      db.transaction().execute(async (trx) => {
        await trx.deleteFrom('item').execute();
        throw new Error('undone');
      }),
    ).rejects.toThrow('undone');
    const client = await pool.connect();
    await client.query('select $1::int', [1]);
    client.release();
    expect(await db.selectFrom('item').select('id').orderBy('id').execute()).toHaveLength(4);
    expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0, opened: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(processor.ended).toBeGreaterThan(10);
    expect(uncaught).toHaveLength(processor.ended);
  });

  it('cost no HTTP request its answer', async () => {
    const uncaught = uncaughtErrors();
    const server = createServer((_request, response) => response.end('{"well":true}'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using client = new HttpClient('carrier', { baseUrl }, { spans: spansFor('auto') });
    expect(await client.get('/').json()).toEqual({ well: true });
    server.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(processor.ended).toBeGreaterThan(0);
    expect(uncaught).toHaveLength(processor.ended);
  });
});
