/** What libraries and applications know a `pg.Pool`, its clients and its errors by. */
import type { PoolClient } from 'pg';
import pg from 'pg';
import { RateLimiterPostgres } from 'rate-limiter-flexible';
import { messageOf, onBothPools } from '#test/support/both-pools.js';
import { useTestDatabase } from '#test/support/database.js';
import { usePools } from '#test/support/pools.js';

const database = useTestDatabase();
const createPool = usePools('known', () => ({ url: database.url, size: 1, maxOverflow: 0 }));

describe('a pool', () => {
  it('is known by its class, and by the name of its class', async () => {
    const outcome = await onBothPools(database.url, async ({ pool }) => [
      pool instanceof pg.Pool,
      pool.constructor.name,
      (pool as unknown as { Client: unknown }).Client === pg.Client,
    ]);
    expect(outcome.ours).toEqual(outcome.theirs);
  });

  it('serves rate-limiter-flexible, which asks for the name, without being told what it is', async () => {
    const limiter = new RateLimiterPostgres({
      storeClient: createPool({ size: 4 }),
      points: 3,
      duration: 60,
      tableName: 'rate_limits',
      tableCreated: false,
      clearExpiredByTimeout: false,
    });
    await vi.waitFor(() => expect(limiter).toHaveProperty('_tableCreated', true));
    const consumed = await Promise.allSettled(Array.from({ length: 5 }, () => limiter.consume('somebody')));
    expect(consumed.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await limiter.get('somebody')).toMatchObject({ consumedPoints: 5, remainingPoints: 0 });
  });
});

describe('properties that a hook sets on a client', () => {
  const tag = Symbol('tag');

  it('are on the client that is lent, with its methods, as with pg.Pool', async () => {
    const onConnect = (client: unknown): void => {
      Object.assign(client as object, {
        shard: 7,
        uses: 0,
        [tag]: 'tagged',
        async one(this: PoolClient) {
          return (await this.query<{ one: number }>('select 1 as one')).rows[0]?.one;
        },
      });
    };
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const seen: unknown[] = [];
        for (let lease = 0; lease < 2; lease++) {
          const client = (await pool.connect()) as PoolClient & {
            shard: number;
            uses: number;
            [tag]: string;
            one(): Promise<number>;
          };
          client.uses++;
          seen.push(client.shard, client.uses, client[tag], await client.one(), 'shard' in client);
          client.release();
        }
        return seen;
      },
      { theirs: { max: 1, onConnect }, ours: { size: 1, onConnect } },
    );
    expect(outcome.ours).toEqual([7, 1, 'tagged', 1, true, 7, 2, 'tagged', 1, true]);
    expect(outcome.ours).toEqual(outcome.theirs);
  });

  it('are there when a listener of connect has set them, or onAcquire, at once or later', async () => {
    const pool = createPool({
      onAcquire: async (client) => {
        await client.query('select 1');
        Object.assign(client, { tenant: 'acme' });
      },
    });
    pool.on('connect', (client) => Object.assign(client, { heard: true }));
    for (let lease = 0; lease < 2; lease++) {
      const client = await pool.connect();
      expect(client).toMatchObject({ heard: true, tenant: 'acme' });
      client.release();
    }
  });

  it('never stand in for what the client is made of', async () => {
    const pool = createPool({ onConnect: (client) => void Object.assign(client, { release: () => 'nothing' }) });
    const client = await pool.connect();
    client.release();
    expect(pool.statistics()).toMatchObject({ inUse: 0, released: 1 });
  });
});

it('an empty text with values works as with pg, however often', async () => {
  const outcome = await onBothPools(database.url, async ({ pool }) => {
    const answers: unknown[] = [];
    for (const values of [[1], [1], [1], [], undefined]) {
      const { rows, rowCount, command, fields } = await pool.query('', values as unknown[]);
      answers.push({ rows, rowCount, command, fields });
    }
    return answers;
  });
  expect(outcome.ours).toEqual(outcome.theirs);
});

describe('the texts that others match on', () => {
  it('are in the message of an acquire that times out', async () => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        // Within the same limit, on however busy a machine.
        const client = await pool.connect();
        const message = await messageOf(pool.connect());
        client.release();
        return message.includes('timeout exceeded when trying to connect');
      },
      { theirs: { max: 1, connectionTimeoutMillis: 4_000 }, ours: { size: 1, acquireTimeoutMs: 4_000 } },
    );
    expect(outcome).toEqual({ theirs: true, ours: true });
  });

  it('are in the message of a query that times out', async () => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const message = await messageOf(
          pool.query({ text: 'select pg_sleep(5)', query_timeout: 50 } as never) as never,
        );
        return message.includes('Query read timeout');
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: true, ours: true });
  });
});

describe('a connection that has died in its borrower’s hands', () => {
  it('counts no more, and is no transaction that sits idle', async () => {
    const pool = createPool();
    const client = await pool.connect();
    client.on('error', () => undefined);
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    await client.query('begin');
    expect(pool.totalCount).toBe(1);
    expect(pool.holders()).toMatchObject([{ inTransaction: true, active: false }]);
    await database.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    await vi.waitFor(() => expect(pool.totalCount).toBe(0));
    expect(pool.holders()).toMatchObject([{ lost: true, inTransaction: false, active: false }]);
    const message = await messageOf(pool.connect({ timeoutMs: 20 }));
    expect(message).toContain('whose connection is lost');
    expect(message).not.toContain('idle in transaction');
    expect(message).not.toContain('Transactions sit idle');
    client.release();
    await pool.query('select 1');
    expect(pool.totalCount).toBe(1);
  });
});

describe('end()', () => {
  it.each([1, 20])('serves %i queries that are being dialled for, as pg.Pool does', async (count) => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const queries = Array.from({ length: count }, (_, n) => pool.query<{ n: number }>('select $1::int as n', [n]));
        const late = pool.end().then(() => messageOf(pool.query('select 1')));
        const answers = await Promise.all(queries);
        return [answers.map(({ rows }) => rows[0]?.n), (await late) === 'no error'];
      },
      { theirs: { max: 20 }, ours: { size: 20 } },
    );
    expect(outcome.ours).toEqual([Array.from({ length: count }, (_, n) => n), false]);
    expect(outcome.ours).toEqual(outcome.theirs);
  });

  it('serves them with a hook as well, refuses newcomers at once and whoever waits for another’s connection', async () => {
    const pool = createPool({ size: 2, onAcquire: async (client) => void (await client.query('select 1')) });
    const held = await pool.connect();
    const [dialled, waiting] = [pool.query('select 1 as n'), pool.query('select 2 as n')];
    const ended = pool.end();
    const over = { code: 'ERR_POOL_CLOSED' };
    await expect(pool.query('select 3')).rejects.toMatchObject(over);
    await expect(waiting).rejects.toMatchObject(over);
    expect((await dialled).rows).toEqual([{ n: 1 }]);
    held.release();
    await ended;
    expect(pool.ended).toBe(true);
  });

  it('is bounded where nothing can be dialled', async () => {
    const url = new URL(database.url);
    url.port = '1';
    const pool = createPool({ url: url.href }, { closeDeadlineMs: 50 });
    const query = pool.query('select 1');
    const refused = expect(query).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    await pool.end();
    await refused;
    expect(pool.statistics()).toMatchObject({ state: 'closed', waiting: 0, size: 0 });
  });
});
