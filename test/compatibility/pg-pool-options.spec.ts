import pg, { type PoolClient } from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { codeOf, messageOf, onBothPools, type BothOptions, type EitherPool } from '#test/support/both-pools.js';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';

const database = useTestDatabase();

const removal = (pool: EitherPool['pool']): Promise<unknown> => new Promise((resolve) => pool.once('remove', resolve));

interface Case extends BothOptions {
  run(either: EitherPool): Promise<unknown>;
}

/** What both pools must do alike, under settings of their own or after errors. What a case returns is compared. */
const CASES: Record<string, Case> = {
  'maxUses: a connection is removed after so many uses': {
    theirs: { maxUses: 2 },
    ours: { maxUses: 2 },
    async run({ pool, events }) {
      for (let use = 0; use < 2; use++) await pool.query('select 1');
      await vi.waitFor(() => expect(pool.totalCount).toBe(0));
      await vi.waitFor(() => expect(events).toContain('remove'));
      const first = [...events];
      await pool.query('select 1');
      return [first, pool.totalCount, pool.options.maxUses];
    },
  },
  'onConnect: runs once for each connection, before its first borrower': {
    theirs: { onConnect: async (client) => void (await client.query("set application_name = 'prepared'")) },
    ours: { onConnect: async (client) => void (await client.query("set application_name = 'prepared'")) },
    async run({ pool }) {
      const names: unknown[] = [];
      for (let use = 0; use < 2; use++) names.push((await pool.query('show application_name')).rows);
      return names;
    },
  },
  'idleTimeoutMillis: an idle connection is removed, and reported': {
    theirs: { idleTimeoutMillis: 50 },
    ours: { idleTimeoutMs: 50 },
    async run({ pool, events }) {
      const removed = removal(pool);
      await pool.query('select 1');
      await removed;
      return [events, pool.totalCount];
    },
  },
  'maxLifetimeSeconds: a connection is removed when it is given back past its age': {
    theirs: { maxLifetimeSeconds: 0.05 },
    ours: { maxLifetimeMs: 50, lifetimeJitter: 0 },
    async run({ pool, events }) {
      const client = await pool.connect();
      // Behind pg's own timer of 50 ms, however busy the machine is.
      await new Promise((resolve) => setTimeout(resolve, 60));
      const removed = removal(pool);
      client.release();
      await removed;
      return [events, pool.totalCount];
    },
  },
  'max: waiters are served in order': {
    theirs: { max: 1 },
    ours: { size: 1 },
    async run({ pool }) {
      const served: number[] = [];
      const held = await pool.connect();
      const waiting = [1, 2, 3].map(async (order) => {
        const client = await pool.connect();
        served.push(order);
        client.release();
      });
      const counted = pool.waitingCount;
      held.release();
      await Promise.all(waiting);
      return [served, counted, pool.waitingCount, pool.totalCount];
    },
  },
  'events of two borrowers and one query': {
    async run({ pool, events }) {
      const clients = [await pool.connect(), await pool.connect()];
      clients[0]?.release();
      await pool.query('select 1');
      clients[1]?.release(true);
      await vi.waitFor(() => expect(events).toContain('remove'));
      return [events, pool.totalCount, pool.idleCount];
    },
  },
  'a borrowed connection that the server ends: its client hears the error, the pool hears nothing': {
    async run({ pool, events }) {
      const client = await pool.connect();
      const heard = new Promise<{ code?: string }>((resolve) => client.once('error', resolve));
      client.on('error', () => undefined);
      await database.query('select pg_terminate_backend($1)', [
        (client as PoolClient & { processID: number }).processID,
      ]);
      const { code } = await heard;
      const before = [...events];
      client.release(true);
      await vi.waitFor(() => expect(events).toContain('remove'));
      return [code, before, events, pool.totalCount];
    },
  },
  'release(error) in a callback destroys the connection': {
    async run({ pool, events }) {
      const removed = removal(pool);
      pool.connect((_error, client, done) => client?.query('select 1/0', (error) => done(error)));
      await removed;
      return [events, pool.totalCount];
    },
  },
  'a Query object with a callback': {
    run: ({ pool }) =>
      pool.connect().then(
        (client) =>
          new Promise((resolve) => {
            const query = new pg.Query('select 1 as one', undefined, ((
              error: Error | undefined,
              result: pg.QueryResult,
            ) => {
              client.release();
              resolve([error ?? null, result.rows]);
            }) as never);
            client.query(query);
          }),
      ),
  },
  'a Query object whose statement is wrong': {
    async run({ pool }) {
      const client = await pool.connect();
      const query = client.query(new pg.Query('selekt'));
      const error = await new Promise<{ code?: string }>((resolve) => query.on('error', resolve as never));
      const next = (await client.query('select 1 as one')).rows;
      client.release();
      return [error.code, next];
    },
  },
  'a cursor that is closed early leaves its client usable': {
    async run({ pool }) {
      const client = await pool.connect();
      const cursor = client.query(new Cursor<{ n: number }>('select n from generate_series(1, 1000) n'));
      const rows = await cursor.read(3);
      await cursor.close();
      const next = (await client.query('select 1 as one')).rows;
      client.release();
      return [rows, await cursor.read(1).catch((error: Error) => error.message), next, pool.idleCount];
    },
  },
  'a cursor whose statement fails on the way': {
    async run({ pool }) {
      const client = await pool.connect();
      const cursor = client.query(new Cursor<{ n: number }>('select 1 / (3 - n) as n from generate_series(1, 5) n'));
      const rows = await cursor.read(1);
      const code = await codeOf(cursor.read(10));
      const next = (await client.query('select 1 as one')).rows;
      client.release();
      return [rows, code, next];
    },
  },
  'a stream with its own batch size, and values': {
    async run({ pool }) {
      const client = await pool.connect();
      const text = 'select n from generate_series(1, $1::int) n';
      const stream = client.query(new QueryStream(text, [25], { batchSize: 4 }));
      const rows: unknown[] = [];
      for await (const row of stream) rows.push(row);
      client.release();
      return rows;
    },
  },
  'a stream that is left early leaves its client usable': {
    async run({ pool }) {
      const client = await pool.connect();
      const stream = client.query(new QueryStream('select n from generate_series(1, 1000) n', [], { batchSize: 2 }));
      for await (const row of stream) if (row !== undefined) break;
      const next = (await client.query('select 1 as one')).rows;
      client.release();
      return next;
    },
  },
  'a stream whose statement is wrong': {
    async run({ pool }) {
      const client = await pool.connect();
      const stream = client.query(new QueryStream('selekt')).resume();
      const code = await new Promise((resolve) =>
        stream.on('error', (error: { code?: string }) => resolve(error.code)),
      );
      client.release();
      return [code, (await pool.query('select 1 as one')).rows];
    },
  },
  'end(): a query after it is refused, as a promise and through a callback': {
    async run({ pool }) {
      await pool.end();
      const called = new Promise<Error>((resolve) => pool.query('select 1', (error) => resolve(error)));
      return [(await messageOf(pool.query('select 1'))) !== 'no error', (await called) instanceof Error];
    },
  },
};

describe('DatabasePool with the options of pg.Pool', () => {
  it.each(Object.entries(CASES))('does the same: %s', async (_name, { run, ...options }) => {
    const { theirs, ours } = await onBothPools(database.url, run, options);
    expect(ours).toEqual(theirs);
  });

  it.each([
    ['its parameters', (url: URL) => `${url.href}?application_name=from%20the%20url`],
    ['an empty password', (url: URL) => url.href.replace('@', ':@')],
    ['the other scheme', (url: URL) => url.href.replace(/^postgres(ql)?:/, 'postgresql:')],
    ['sslmode', (url: URL) => `${url.href}?sslmode=disable`],
    ['a name for the host', (url: URL) => url.href.replace(url.hostname, 'localhost')],
  ])('reads a connection string alike: %s', async (_what, change) => {
    const url = change(new URL(database.url));
    const { theirs, ours } = await onBothPools(url, async ({ pool }) => {
      const text =
        "select current_user, current_database(), inet_server_port(), current_setting('application_name') as application";
      const { rows } = await pool.query<{ application: string }>(text);
      const client = await pool.connect();
      const { host, port, database: name, user } = client;
      client.release();
      // The application's own package names the connections of one pool, nobody those of the other.
      const { application, ...rest } = rows[0] as { application: string };
      return [rest, url.includes('application_name') ? application : null, host, port, name, user];
    });
    expect(ours).toEqual(theirs);
  });
});

describe('a process with an idle pool', () => {
  const environment = (pool: string): NodeJS.ProcessEnv => ({ DATABASE_URL: database.url, POOL: pool });

  it('ends by itself, as with allowExitOnIdle', async () => {
    const child = runTypeScript(new URL('../support/programs/pool-left-open.ts', import.meta.url), {
      env: environment('database'),
    });
    onTestFinished(() => void child.process.kill('SIGKILL'));
    await child.prints(/idle/);
    expect(await child.ended).toEqual({ code: 0, signal: null });
  });
});
