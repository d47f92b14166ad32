import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Client, PoolClient } from 'pg';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { TcpProxy } from 'nestjs-pooling/testing';
import { urlAt, useTestDatabase } from '#test/support/database.js';
import { usePools } from '#test/support/pools.js';
import type { DatabasePool } from './database-pool.js';
import type { DatabaseOptions } from './options/options.js';

const database = useTestDatabase(
  'create table item (id int primary key)',
  'insert into item select generate_series(1, 500)',
);
/** Makes pools of one connection: who comes next gets what the last one left. */
const createPool = usePools('one', () => ({ url: database.url, size: 1, maxOverflow: 0 }));

async function processIdOf(pool: DatabasePool): Promise<number> {
  return (await pool.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid as number;
}

describe('a connection', () => {
  it('outlives a text of 25 MB with words in it that may change how others are read', async () => {
    await database.query('create table note (body text)');
    const pool = createPool();
    const body = `${'x '.repeat(12_500_000)} into `;
    const pid = await processIdOf(pool);
    await pool.query(`insert into note values ('${body}')`);
    const { rows } = await pool.query<{ body: string }>('select body from note');
    expect([rows.map((row) => row.body === body), await processIdOf(pool)]).toEqual([[true], pid]);
  });
});

describe('a lease that is over', () => {
  it('refuses to be used or released again, whoever has the connection now', async () => {
    const pool = createPool();
    const client = await pool.connect();
    client.release();
    const next = await pool.connect();
    const over = expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED', pool: 'one' }) as Error;
    expect(() => client.release()).toThrow(over);
    await expect(client.query('select 1')).rejects.toEqual(over);
    expect(await new Promise((resolve) => client.query('select 1', resolve))).toEqual(over);
    expect(() => client.query(new Cursor('select 1'))).not.toThrow();
    await expect(client.query(new Cursor('select 1')).read(1)).rejects.toEqual(over);
    const query = new pg.Query('select 1');
    const failed = new Promise((resolve) => query.on('error', resolve));
    client.query(query);
    expect(await failed).toEqual(over);
    expect(() => client.query({ submit: () => undefined })).toThrow(over);
    expect(() => client.connection).toThrow(over);
    expect(() => client.getTransactionStatus()).toThrow(over);
    expect(() => client.setTypeParser(23, 'text', Number)).toThrow(over);
    await expect(client.end()).rejects.toEqual(over);
    expect(await new Promise((resolve) => client.end(resolve))).toEqual(over);
    expect(client.escapeLiteral("it's")).toBe("'it''s'");
    expect((await next.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    next.release();
  });

  it('takes its listeners along', async () => {
    const pool = createPool();
    const heard: unknown[] = [];
    const client = await pool.connect();
    client.on('notice', (notice) => heard.push(notice));
    client.on('error', (error) => heard.push(error));
    client.release();
    expect(client.listenerCount('notice')).toBe(0);
    await pool.query("do $$ begin raise notice 'for nobody'; end $$");
    expect(heard).toEqual([]);
  });

  it('a borrowed client hears the loss of its connection, and an unheard loss ends nothing', async () => {
    const pool = createPool();
    const heard: Error[] = [];
    const ends: string[] = [];
    const client = await pool.connect();
    client.on('error', (error) => heard.push(error));
    client.on('end', () => ends.push('end'));
    const unheard = createPool();
    const other = await unheard.connect();
    await database.query('select pg_terminate_backend($1)', [(client as unknown as { processID: number }).processID]);
    await database.query('select pg_terminate_backend($1)', [(other as unknown as { processID: number }).processID]);
    await vi.waitFor(() => expect(ends).toEqual(['end']));
    expect(heard).toMatchObject([{ code: '57P01' }]);
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'ECONNRESET', cause: { code: '57P01' } });
    client.release();
    other.release();
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 0, closed: { broken: 1 } }));
  });

  it('a client that was ended by its borrower is replaced', async () => {
    const pool = createPool();
    const client = await pool.connect();
    await client.end();
    client.release();
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
    const again = await pool.connect();
    await new Promise<void>((resolve) => again.end(() => resolve()));
    again.release();
  });

  it('is found by the garbage collector when it was dropped, but not while somebody listens on it', async () => {
    const collect = (globalThis as { gc?: () => void }).gc ?? exposedCollector();
    const leaked = vi.fn<(report: object) => void>();
    const pool = createPool({ leakDetectionMs: 3_600_000, size: 2 }, { observer: { leaked } });
    const heard: unknown[] = [];
    await (async () => {
      const listener = await pool.connect();
      await listener.query('listen news');
      listener.on('notification', ({ payload }) => heard.push(payload));
      const dropped = await pool.connect();
      await dropped.query('select 1');
    })();
    await vi.waitFor(() => {
      collect();
      expect(leaked).toHaveBeenCalledOnce();
    });
    expect(leaked.mock.calls[0]?.[0]).toMatchObject({ collected: true });
    await pool.query("notify news, 'still there'");
    await vi.waitFor(() => expect(heard).toEqual(['still there']));
    expect(pool.holders()).toHaveLength(1);
  });
});

describe('a connection that is given back', () => {
  it.each<[string, (client: PoolClient) => Promise<void> | void]>([
    ['a running query', (client) => void client.query('select pg_sleep(30)').catch(() => undefined)],
    [
      'queued queries',
      (client) => {
        for (let query = 0; query < 3; query++) client.query('select pg_sleep(0.01)').catch(() => undefined);
      },
    ],
    [
      'an open cursor',
      async (client) => {
        await client.query(new Cursor('select * from item')).read(10);
      },
    ],
    [
      'an unread stream',
      async (client) => {
        const stream = client.query(new QueryStream('select * from item', [], { batchSize: 10 }));
        stream.on('error', () => undefined);
        await new Promise((resolve) => stream.once('data', resolve));
        stream.pause();
      },
    ],
    [
      'a COPY under way',
      (client) => {
        client.query({
          submit: (connection: { query(text: string): void }) => connection.query('copy item from stdin'),
          handleCopyInResponse: () => undefined,
          handleError: () => undefined,
        } as unknown as pg.Submittable);
      },
    ],
  ])('with %s never reaches another borrower', async (_what, leave) => {
    const pool = createPool();
    const before = await processIdOf(pool);
    const client = await pool.connect();
    await leave(client);
    client.release();
    expect(await processIdOf(pool)).not.toBe(before);
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
  });

  it('right after an SQL error waits for the server to be ready, and is used again', async () => {
    const pool = createPool();
    const before = await processIdOf(pool);
    await new Promise<void>((resolve) => {
      pool.connect((_error, client, done) => {
        // The callback runs before the server has said that it is ready.
        client?.query('select 1/0', () => {
          done();
          resolve();
        });
      });
    });
    expect(await processIdOf(pool)).toBe(before);
  });

  it('right after a stream’s last row is used again', async () => {
    const pool = createPool();
    const before = await processIdOf(pool);
    for (let round = 0; round < 5; round++) {
      const client = await pool.connect();
      let rows = 0;
      for await (const row of client.query(new QueryStream('select * from item'))) if (row !== undefined) rows++;
      client.release();
      expect(rows).toBe(500);
    }
    expect(await processIdOf(pool)).toBe(before);
  });

  it('with a connection that the server has just ended is not used again, although its query got an answer', async () => {
    const pool = createPool();
    const client = await pool.connect();
    await expect(client.query('select pg_terminate_backend(pg_backend_pid())')).rejects.toMatchObject({
      code: '57P01',
    });
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 } });
  });
});

describe('a value that can’t be sent', () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;

  it.each<[string, DatabaseOptions, pg.QueryConfig]>([
    ['prepared', {}, { text: 'select $1::text' }],
    ['not prepared', { preparedStatements: false }, { text: 'select $1::text' }],
    ['prepared by its name', {}, { text: 'select $1::text', name: 'named' }],
    ['its values in its config', { preparedStatements: false }, { text: 'select $1::text', values: [circular] }],
  ])('fails its query and leaves the connection as it was: %s', async (_how, options, config) => {
    const pool = createPool({ ...options, queryTimeoutMs: 20_000, prePing: { timeoutMs: 20_000 } });
    const values = config.values === undefined ? [circular] : undefined;
    await expect(pool.query(config, values)).rejects.toThrow('circular');
    const client = await pool.connect();
    await client.query('begin');
    await expect(client.query(config, values)).rejects.toThrow('circular');
    expect((await client.query('select $1::int as one', [1])).rows).toEqual([{ one: 1 }]);
    await client.query('rollback');
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 1, idle: 1, closed: { reset: 0 } });
  });
});

describe('reset', () => {
  async function leaveTransaction(pool: DatabasePool, fail = false): Promise<void> {
    const client = await pool.connect();
    await client.query('begin');
    await client.query('create temporary table left_over (id int)');
    if (fail) await client.query('select 1/0').catch(() => undefined);
    client.release();
  }

  it.each([false, true])('rolls an open transaction back, counted; failed before: %s', async (fail) => {
    const pool = createPool();
    const before = await processIdOf(pool);
    await leaveTransaction(pool, fail);
    await expect(pool.query('select * from left_over')).rejects.toMatchObject({ code: '42P01' });
    expect(await processIdOf(pool)).toBe(before);
    expect(pool.statistics()).toMatchObject({ transactionsLeftOpen: 1, opened: 1 });
  });

  it('rolls an open transaction back also when its last statement is a failed one that was just answered', async () => {
    const pool = createPool();
    await pool.query('select 1');
    await new Promise<void>((resolve) => {
      pool.connect((_error, client, done) => {
        client?.query('begin', () => {
          client.query('select 1/0', () => {
            done();
            resolve();
          });
        });
      });
    });
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ transactionsLeftOpen: 1, opened: 1 });
  });

  it('needs no round trip when no transaction is open', async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const pool = createPool({ url: urlAt(database.url, proxy.port) });
    await pool.query('select 1');
    const client = await pool.connect();
    proxy.resetCounters();
    client.release();
    const next = pool.connect();
    (await next).release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(proxy.bytes.toServer).toBe(0);
  });

  it('closes a connection whose transaction can’t be ended', async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const pool = createPool({ url: urlAt(database.url, proxy.port), prePing: { timeoutMs: 50 } });
    const client = await pool.connect();
    await client.query('begin');
    proxy.blackhole();
    client.release();
    await vi.waitFor(() => expect(pool.statistics().closed.reset).toBe(1));
    await proxy.forward();
    await pool.query('select 1');
  });

  it('none closes a connection with an open transaction, and leaves the rest as it is', async () => {
    const pool = createPool({ reset: 'none' });
    await pool.query("set application_name = 'left'");
    expect((await pool.query('show application_name')).rows).toEqual([{ application_name: 'left' }]);
    await leaveTransaction(pool);
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { transaction: 1 } });
  });

  it('discard leaves nothing of the last borrower, and makes the session’s settings again', async () => {
    const pool = createPool({ reset: 'discard', session: { timezone: 'Asia/Tokyo' }, statementTimeoutMs: 4_000 });
    const before = await processIdOf(pool);
    const client = await pool.connect();
    await client.query("set timezone = 'UTC'");
    await client.query('create temporary table mine (id int)');
    await client.query({ name: 'named', text: 'select 1 as one' });
    await client.query('begin');
    client.release();
    await expect(pool.query('select * from mine')).rejects.toMatchObject({ code: '42P01' });
    expect((await pool.query('show timezone')).rows).toEqual([{ TimeZone: 'Asia/Tokyo' }]);
    expect((await pool.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '4s' }]);
    expect((await pool.query({ name: 'named', text: 'select 1 as one' })).rows).toEqual([{ one: 1 }]);
    expect(await processIdOf(pool)).toBe(before);
    expect(pool.statistics().transactionsLeftOpen).toBe(1);
  });

  it('discard runs onConnect again, so that the second borrower finds what it has set', async () => {
    let runs = 0;
    const onConnect = async (client: Client): Promise<void> => {
      runs++;
      await client.query("select set_config('search_path', 'tenant', false)");
    };
    const pool = createPool({ reset: 'discard', onConnect });
    const before = await processIdOf(pool);
    for (let lease = 0; lease < 3; lease++) {
      const client = await pool.connect();
      expect((await client.query('show search_path')).rows).toEqual([{ search_path: 'tenant' }]);
      await client.query('set search_path = other');
      client.release();
    }
    expect(await processIdOf(pool)).toBe(before);
    expect(runs).toBeGreaterThan(3);
  });

  it('discard closes a connection whose onConnect fails the second time', async () => {
    let runs = 0;
    const onConnect = (): void => {
      if (++runs === 2) throw new Error('not again');
    };
    const pool = createPool({ reset: 'discard', onConnect });
    await pool.query('select 1');
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics().closed.reset).toBe(1);
  });

  it('what options sets at a session’s start is not replaced by a default, and survives a discard', async () => {
    const url = new URL(database.url);
    url.searchParams.set('options', '-c timezone=Asia/Tokyo -c statement_timeout=7s');
    const pool = createPool({ url: url.href, reset: 'discard' });
    for (let lease = 0; lease < 2; lease++) {
      const client = await pool.connect();
      expect((await client.query('show timezone')).rows).toEqual([{ TimeZone: 'Asia/Tokyo' }]);
      expect((await client.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '7s' }]);
      client.release();
    }
  });

  it('takes a function, run after an open transaction was rolled back', async () => {
    const seen: unknown[] = [];
    const reset = async (client: Client): Promise<void> => {
      // In a transaction `now()` is when that began.
      seen.push((await client.query('select now() = statement_timestamp() as outside')).rows[0]);
      await client.query("set application_name = 'reset'");
    };
    const pool = createPool({ reset });
    await leaveTransaction(pool);
    expect((await pool.query('show application_name')).rows).toEqual([{ application_name: 'reset' }]);
    expect(seen[0]).toEqual({ outside: true });
    expect(pool.statistics().opened).toBe(1);
  });

  it.each<[string, (client: Client) => void | Promise<void>]>([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['leaves a transaction open', async (client) => void (await client.query('begin'))],
    ['takes too long', () => new Promise(() => undefined)],
  ])('closes the connection when the function %s', async (_how, reset) => {
    const pool = createPool({ reset, prePing: { timeoutMs: 50 } });
    await pool.query('select 1');
    await pool.query('select 1');
    await vi.waitFor(() => expect(pool.statistics().closed.reset).toBe(2));
  });
});

/** V8's collector, which Node shows only on demand. */
function exposedCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
