/** Where DatabasePool differs from pg.Pool on purpose; docs/pg-pool-compatibility.md gives the reasons. */
import { readFile } from 'node:fs/promises';
import pg, { type Pool, type PoolClient } from 'pg';
import Cursor from 'pg-cursor';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { codeOf, messageOf, onBothPools, onDatabasePool, onPgPool } from '#test/support/both-pools.js';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';
import { isAtLeast } from '#test/support/peer-version.js';

const database = useTestDatabase();

const nowhere = (): string => {
  const url = new URL(database.url);
  url.port = '1';
  return url.href;
};

it('an SQL error of pool.query costs no connection', async () => {
  const outcome = await onBothPools(database.url, async ({ pool, events }) => {
    await codeOf(pool.query('select 1/0'));
    await pool.query('select 1');
    return events.filter((event) => event === 'connect').length;
  });
  expect(outcome).toEqual({ theirs: 2, ours: 1 });
});

it('a failed dial fails no acquire before its deadline, and is its cause then', async () => {
  const refused = async ({ pool }: { pool: Pool }): Promise<unknown> =>
    pool
      .connect()
      .catch((error: Error & { code?: string; cause?: unknown }) => [
        error.code,
        (error.cause as { code?: string } | undefined)?.code,
      ]);
  const outcome = await onBothPools(nowhere(), refused, { ours: { acquireTimeoutMs: 3_000 } });
  expect(outcome).toEqual({
    theirs: ['ECONNREFUSED', undefined],
    ours: ['ERR_POOL_ACQUIRE_TIMEOUT', 'ECONNREFUSED'],
  });
});

it('an error of onConnect is a failed dial', async () => {
  const onConnect = (): never => {
    throw new Error('not today');
  };
  const outcome = await onBothPools(database.url, ({ pool }) => messageOf(pool.connect()), {
    theirs: { onConnect },
    ours: { onConnect, acquireTimeoutMs: 3_000 },
  });
  expect(outcome.theirs).toBe('not today');
  expect(outcome.ours).toContain('Last connect failure: not today');
});

it('a waiter takes whichever connection comes first', async () => {
  const outcome = await onBothPools(
    database.url,
    async ({ pool }) => {
      const held = await pool.connect();
      const backend = (held as unknown as { processID: number }).processID;
      const waiting = pool.connect();
      held.release();
      const client = await waiting;
      const same = (client as unknown as { processID: number }).processID === backend;
      client.release();
      return same;
    },
    { theirs: { max: 2 }, ours: { size: 2 } },
  );
  expect(outcome).toEqual({ theirs: false, ours: true });
});

it('an idle connection past its time is closed in the next round', async () => {
  const clock = new ManualClock();
  await using ours = new DatabasePool('idle', { url: database.url, idleTimeoutMs: 1_000 }, { clock });
  const theirs = new pg.Pool({ connectionString: database.url, idleTimeoutMillis: 10 });
  await Promise.all([ours.query('select 1'), theirs.query('select 1')]);
  await vi.waitFor(() => expect(theirs.totalCount).toBe(0));
  // A round every quarter of the time: the first one past it closes.
  await clock.advance(990);
  expect(ours.totalCount).toBe(1);
  await clock.advance(500);
  expect(ours.totalCount).toBe(0);
  await theirs.end();
});

it('verify, Client and Promise are no options, and log is Kysely’s', async () => {
  const options = { verify: () => undefined, Client: pg.Client, Promise };
  for (const [name, value] of Object.entries(options)) {
    const given = { url: database.url, [name]: value } as DatabaseOptions;
    expect(() => new DatabasePool('verified', given)).toThrow(`${name}: no such option`);
  }
  expect(new pg.Pool(options as pg.PoolConfig).options).toMatchObject(options);
  const logs = { theirs: vi.fn<() => void>(), ours: vi.fn<() => void>() };
  await onBothPools(database.url, ({ pool }) => pool.query('select 1'), {
    theirs: { log: logs.theirs },
    ours: { log: logs.ours },
  });
  expect(logs.theirs).toHaveBeenCalled();
  expect(logs.ours).not.toHaveBeenCalled();
});

it('binary and pipeline are refused', async () => {
  for (const name of ['binary', 'pipeline']) {
    const connection = { [name]: true } as pg.ClientConfig;
    expect(() => new DatabasePool('refused', { url: database.url, connection })).toThrow(`${name}: not supported`);
    const theirs = new pg.Pool({ connectionString: database.url, ...connection });
    const client = await theirs.connect();
    // Not every pg knows pipeline.
    if (name in new pg.Client()) expect(client).toHaveProperty(name, true);
    client.release();
    await theirs.end();
  }
});

it('an acquire waits thirty seconds and not for ever', async () => {
  await using ours = new DatabasePool('default', { url: database.url });
  const theirs = new pg.Pool({ connectionString: database.url });
  expect(ours.configuration.acquireTimeoutMs).toBe(30_000);
  expect(theirs.options.connectionTimeoutMillis).toBeUndefined();
  await theirs.end();
});

it('connections that are being opened count when they are open', async () => {
  const outcome = await onBothPools(database.url, async ({ pool }) => {
    const connecting = pool.connect();
    const counted = pool.totalCount;
    (await connecting).release();
    return [counted, pool.totalCount];
  });
  expect(outcome).toEqual({ theirs: [1, 1], ours: [0, 1] });
});

it('a borrowed connection that is lost counts no more', async () => {
  const outcome = await onBothPools(database.url, async ({ pool }) => {
    const client = await pool.connect();
    // pg tells a loss twice.
    const lost = new Promise((resolve) => client.on('error', resolve));
    const counted = [pool.totalCount];
    await database.query('select pg_terminate_backend($1)', [(client as unknown as { processID: number }).processID]);
    await lost;
    counted.push(pool.totalCount);
    client.release();
    counted.push(pool.totalCount);
    return counted;
  });
  expect(outcome).toEqual({ theirs: [1, 1, 0], ours: [1, 0, 0] });
});

it('expiredCount is 0', async () => {
  const outcome = await onBothPools(
    database.url,
    async ({ pool }) => {
      const client = await pool.connect();
      // Behind pg's own timer of 50 ms, however busy the machine is.
      await new Promise((resolve) => setTimeout(resolve, 60));
      const counted = pool.expiredCount;
      client.release();
      return counted;
    },
    { theirs: { maxLifetimeSeconds: 0.05 }, ours: { maxLifetimeMs: 50, lifetimeJitter: 0 } },
  );
  expect(outcome).toEqual({ theirs: 1, ours: 0 });
});

describe('end()', () => {
  it('refuses who waits', async () => {
    const waitAtEnd = async ({ pool }: { pool: Pool }): Promise<unknown> => {
      const held = await pool.connect();
      const waiting = codeOf(pool.connect());
      const ended = pool.end();
      held.release();
      await ended;
      return Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 100, 'still waiting'))]);
    };
    const outcome = await onBothPools(database.url, waitAtEnd, { theirs: { max: 1 }, ours: { size: 1 } });
    expect(outcome).toEqual({ theirs: 'still waiting', ours: 'ERR_POOL_CLOSED' });
  });

  it('may be called twice', async () => {
    const outcome = await onBothPools(database.url, async ({ pool }) => {
      await pool.end();
      return messageOf(pool.end());
    });
    expect(outcome).toEqual({ theirs: 'Called end on pool more than once', ours: 'no error' });
  });

  it('resolves when the sockets are gone, after the last remove', async () => {
    const outcome = await onBothPools(database.url, async ({ pool, events }) => {
      const clients = await Promise.all([pool.connect(), pool.connect()]);
      for (const client of clients) client.release();
      await pool.end();
      return events.filter((event) => event === 'remove').length;
    });
    expect(outcome).toEqual({ theirs: 0, ours: 2 });
  });

  it('waits ten seconds for who holds a connection, and takes it then', async () => {
    const pool = new DatabasePool('ending', { url: database.url }, { closeDeadlineMs: 50 });
    const client = await pool.connect();
    await pool.end();
    expect(pool.ended).toBe(true);
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_LEASE_RELEASED' });
  });
});

describe('a client that is given back', () => {
  it('with a transaction open is rolled back', async () => {
    await database.query('create table kept (id int)');
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const client = await pool.connect();
        await client.query('begin');
        await client.query('insert into kept values (1)');
        client.release();
        return (await pool.query('select * from kept')).rowCount;
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: 1, ours: 0 });
  });

  it('refuses to be used', async () => {
    const outcome = await onBothPools(database.url, async ({ pool }) => {
      const client = await pool.connect();
      client.release();
      return codeOf(client.query('select 1'));
    });
    expect(outcome).toEqual({ theirs: 'no error', ours: 'ERR_POOL_LEASE_RELEASED' });
  });

  it('takes its listeners along', async () => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const heard: unknown[] = [];
        const client = await pool.connect();
        client.on('notice', ({ message }) => heard.push(message));
        client.release();
        await pool.query("do $$ begin raise notice 'of the next borrower'; end $$");
        return heard;
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: ['of the next borrower'], ours: [] });
  });

  it('forgets its type parsers', async () => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const client = await pool.connect();
        client.setTypeParser(23, 'text', (text) => `parsed ${text}`);
        client.release();
        return (await pool.query('select 1 as one')).rows;
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: [{ one: 'parsed 1' }], ours: [{ one: 1 }] });
  });

  it('is another object the next time', async () => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        const clients: PoolClient[] = [];
        for (let lease = 0; lease < 2; lease++) {
          const client = await pool.connect();
          clients.push(client);
          client.release();
        }
        return clients[0] === clients[1];
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: true, ours: false });
  });

  it('with a query still running is destroyed', async () => {
    const outcome = await onBothPools(
      database.url,
      async ({ pool, events }) => {
        const client = await pool.connect();
        const running = client.query('select pg_sleep(0.05)').catch(() => undefined);
        client.release();
        await pool.query('select 1');
        await running;
        return events.filter((event) => event === 'connect').length;
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: 1, ours: 2 });
  });

  it('runs nothing asked for behind COMMIT or ROLLBACK', async () => {
    await database.query('create table behind (id int)');
    const outcome = await onBothPools(
      database.url,
      async ({ pool }) => {
        await database.query('truncate behind');
        const client = await pool.connect();
        await client.query('begin');
        const ended = client.query('rollback');
        const behind = codeOf(client.query('insert into behind values (1)'));
        await ended;
        client.release();
        return [await behind, (await pool.query('select * from behind')).rowCount];
      },
      { theirs: { max: 1 }, ours: { size: 1 } },
    );
    expect(outcome).toEqual({ theirs: ['no error', 1], ours: ['ERR_POOL_TRANSACTION_OVER', 0] });
  });
});

it('a value that can’t be sent leaves its transaction as it is, whatever the text', async () => {
  const sendUnsendable = async ({ pool }: { pool: Pool }): Promise<unknown> => {
    const unsendable = {
      toPostgres: () => {
        throw new Error('unsendable');
      },
    };
    const client = await pool.connect();
    await client.query('begin');
    const message = await messageOf(client.query('select $1 from nowhere', [unsendable]));
    const code = await codeOf(client.query('select 1'));
    client.release(true);
    return [message, code];
  };
  expect(await onDatabasePool(database.url, sendUnsendable)).toEqual(['unsendable', 'no error']);
  // Before, pg waits for ever.
  if (isAtLeast('pg', '8.22.0')) expect(await onPgPool(database.url, sendUnsendable)).toEqual(['unsendable', '25P02']);
});

it('a query past query_timeout costs its connection', async () => {
  const outcome = await onBothPools(
    database.url,
    async ({ pool, events }) => {
      const client = await pool.connect();
      await client.query({ text: 'select pg_sleep(0.2)', query_timeout: 20 } as pg.QueryConfig).catch(() => undefined);
      client.release();
      await pool.query('select 1');
      return events.filter((event) => event === 'connect').length;
    },
    { theirs: { max: 1 }, ours: { size: 1 } },
  );
  expect(outcome).toEqual({ theirs: 1, ours: 2 });
});

it('query_timeout and statement_timeout don’t count for cursors, streams and COPY', async () => {
  const outcome = await onBothPools(
    database.url,
    async ({ pool }) => {
      const client = await pool.connect();
      // An older pg calls it at the time-out, whether there is one or not.
      const cursor = Object.assign(new Cursor('select pg_sleep(0.2)'), { callback: () => undefined });
      const read = client.query(cursor).read(1);
      const message = await messageOf(read as unknown as Promise<unknown>);
      client.release(true);
      return message;
    },
    { theirs: { query_timeout: 20 }, ours: { queryTimeoutMs: 20, statementTimeoutMs: 20 } },
  );
  expect(outcome).toEqual({ theirs: 'Query read timeout', ours: 'no error' });
});

it('the message of an acquire’s time-out holds pg’s and tells more', async () => {
  const outcome = await onBothPools(
    database.url,
    async ({ pool }) => {
      const held = await pool.connect();
      const message = await messageOf(pool.connect());
      held.release();
      return message;
    },
    { theirs: { max: 1, connectionTimeoutMillis: 3_000 }, ours: { size: 1, acquireTimeoutMs: 3_000 } },
  );
  expect(outcome.theirs).toBe('timeout exceeded when trying to connect');
  expect(outcome.ours).toMatch(
    /^compatible: no connection within 3000 ms .*\(timeout exceeded when trying to connect\)$/,
  );
});

it('a session has time-outs of its own and the time zone UTC', async () => {
  const outcome = await onBothPools(database.url, async ({ pool }) => {
    const settings = "select current_setting('statement_timeout') as timeout, current_setting('timezone') as zone";
    return (await pool.query(settings)).rows;
  });
  expect(outcome.ours).toEqual([{ timeout: '1min', zone: 'UTC' }]);
  expect(outcome.theirs).toMatchObject([{ timeout: '0' }]);
});

/** Runs a program on one of the pools in a process of its own; gives its exit code. */
async function exitCodeOf(pool: 'pg' | 'database', program: string): Promise<number | null> {
  const child = runTypeScript(new URL(`../support/programs/${program}.ts`, import.meta.url), {
    env: { DATABASE_URL: database.url, POOL: pool, EXIT_ON_IDLE: '1' },
  });
  onTestFinished(() => void child.process.kill('SIGKILL'));
  const { code } = await child.ended;
  return code;
}

it('a lost connection that nobody listens to ends no process, whether idle or borrowed', async () => {
  const codes = await Promise.all([exitCodeOf('pg', 'unheard-loss'), exitCodeOf('database', 'unheard-loss')]);
  expect(codes).toEqual([1, 0]);
});

it('allowExitOnIdle is true: idle connections keep no process alive', async () => {
  await using pool = new DatabasePool('idle', { url: database.url });
  expect(pool.options.allowExitOnIdle).toBe(true);
  expect(new pg.Pool().options.allowExitOnIdle).toBe(false);
  expect(await exitCodeOf('database', 'pool-left-open')).toBe(0);
});

it('what a listener throws is thrown in the next turn, and the pool goes on', async () => {
  await using pool = new DatabasePool('listened to', { url: database.url, size: 1 });
  const caught = new Promise((resolve) => {
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => {
      for (const listener of before) process.on('uncaughtException', listener);
      resolve(error);
    });
  });
  const thrown = new Error('thrown by a listener');
  pool.once('acquire', () => {
    throw thrown;
  });
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  expect(await caught).toBe(thrown);
  expect(pool.statistics()).toMatchObject({ acquired: 1, released: 1 });
});

it('docs/pg-pool-compatibility.md lists each of these, and no other', async () => {
  const source = await readFile(new URL(import.meta.url), 'utf8');
  const titles = [...source.matchAll(/^( *)(describe|it)\('([^']+)'/gm)].map(([, indent, kind, title]) => ({
    nested: indent !== '',
    kind,
    title: title as string,
  }));
  const tests: string[] = [];
  let group = '';
  for (const { nested, kind, title } of titles) {
    if (kind === 'describe') group = `${title} `;
    else tests.push(nested ? group + title : title);
  }
  const document = await readFile(new URL('../../docs/pg-pool-compatibility.md', import.meta.url), 'utf8');
  const [, listed = ''] = document.split('## Differences');
  const rows = [...listed.matchAll(/^\| ([^|]+?) +\|/gm)].map(([, cell]) => (cell as string).replaceAll('`', ''));
  expect(rows.slice(2)).toEqual(tests.slice(0, -1));
});
