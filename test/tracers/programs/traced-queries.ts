/**
 * Every kind of query, each under a span of its own, in a process with a tracer. Prints as JSON: what went wrong, and the
 * spans. `TRACER` and `LOAD`: which tracer is loaded before or after the library, when it isn't by Node's own option.
 */
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import type { QueryResult, Submittable } from 'pg';
import type { DatabasePool } from 'nestjs-pooling';

/** A query's span, as each tracer's set-up gives it. */
export interface SeenSpan {
  readonly parent: string | undefined;
  readonly name: string;
  readonly text: string | undefined;
  readonly failed: boolean;
  readonly ended: boolean;
  readonly ms: number;
}

interface TestTracer {
  run<Result>(name: string, fn: () => Promise<Result>): Promise<Result>;
  spans(): Promise<SeenSpan[]>;
}

const { DATABASE_URL: url, LOAD, TRACER } = process.env;
const problems: string[] = [];
process.on('unhandledRejection', (error) => problems.push(`unhandled rejection: ${String(error)}`));
process.on('uncaughtException', (error) => problems.push(`uncaught exception: ${error.stack}`));

const requireHere = createRequire(import.meta.url);
const loadTracer = (): void => void requireHere(`../set-ups/${TRACER}.cjs`);

if (LOAD === 'before') loadTracer();
const { DatabasePool: Pool } = await import('nestjs-pooling');
const { createKysely } = await import('#pooling/database/kysely/kysely.js');
const { default: Cursor } = await import('pg-cursor');
const { default: QueryStream } = await import('pg-query-stream');
const { sql } = await import('kysely');

const pool = new Pool('traced', { url: url as string, size: 2, maxOverflow: 0, prePing: { idleMs: 0 } });
const pipelined = new Pool('pipelined', { url: url as string, size: 1, maxOverflow: 0, pipelining: { depth: 16 } });
const db = createKysely<Record<string, never>>(pool);
// Of what was loaded before, it has used what can be changed later.
if (LOAD === 'after') await pool.query('select 0');
if (LOAD === 'after') loadTracer();

const tracer = (globalThis as unknown as { tracer: TestTracer }).tracer;

function expectEqual(what: string, found: unknown, expected: unknown): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) problems.push(`${what}: ${one} instead of ${other}`);
}

async function step(name: string, fn: () => Promise<unknown>): Promise<void> {
  const deadline = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error('hangs')), 30_000).unref();
  });
  await tracer
    .run(name, () => Promise.race([fn(), deadline]))
    .catch((error: unknown) => problems.push(`${name}: ${String(error)}`));
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'nothing',
    (error: { code?: string }) => error.code,
  );
}

/** A `COPY … TO STDOUT` as pg-copy-streams begins it: it tells its end to nobody but by a method of its own. */
class CopyOut implements Submittable {
  readonly ended: Promise<string>;
  #copied = '';
  #end!: (copied: string) => void;
  #fail!: (error: Error) => void;

  constructor(readonly text: string) {
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
  }

  submit(connection: { query(text: string): void }): void {
    connection.query(this.text);
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.#copied += chunk.toString();
  }

  handleCommandComplete(): void {
    // The end is at ReadyForQuery.
  }

  handleError(error: Error): void {
    this.#fail(error);
  }

  handleReadyForQuery(): void {
    this.#end(this.#copied);
  }
}

async function rowsOf(of: DatabasePool, text: string, values?: unknown[]): Promise<unknown> {
  return (await of.query(text, values)).rows;
}

const rounds = Number(process.env['ROUNDS'] ?? 1);
for (let round = 0; round < rounds; round++) {
  await step('simple', async () => expectEqual('simple', await rowsOf(pool, 'select 1 as one'), [{ one: 1 }]));
  await step('values', async () => {
    for (let n = 0; n < 4; n++) {
      expectEqual('values', await rowsOf(pool, 'select $1::int + 1 as more', [n]), [{ more: n + 1 }]);
    }
  });
  await step('config', async () => {
    class Text {
      get text(): string {
        return 'select $1::int as a, 2 as b';
      }
      readonly values = [1];
      readonly rowMode = 'array';
    }
    expectEqual('config', (await pool.query(new Text())).rows, [[1, 2]]);
  });
  await step('callback', async () => {
    const result = await new Promise<QueryResult>((resolve, reject) =>
      pool.query('select 5 as five', (error: Error | undefined, answer: QueryResult) =>
        error ? reject(error) : resolve(answer),
      ),
    );
    expectEqual('callback', result.rows, [{ five: 5 }]);
  });
  await step('slow', async () => {
    await pool.query('select pg_sleep($1)', [0]);
    await pool.query('select pg_sleep($1)', [0.2]);
    await pool.query('select pg_sleep(0.2)');
  });
  await tracer.run('warm', async () => {
    for (let n = 0; n < 3; n++) await pipelined.query('select $1::int as n', [n]);
  });
  await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      step(`pipelined ${n}`, async () => {
        expectEqual('pipelined', await rowsOf(pipelined, 'select $1::int as n', [n]), [{ n }]);
      }),
    ),
  );
  await Promise.all(
    Array.from({ length: 6 }, (_, n) =>
      step(`pipelined failing ${n}`, async () => {
        const code = await codeOf(pipelined.query('select 1 / $1::int as n', [n % 2]));
        expectEqual('pipelined failing', code, n % 2 === 0 ? '22012' : 'nothing');
      }),
    ),
  );
  await step('transaction', () =>
    db.transaction().execute(async (transaction) => {
      const { rows } = await sql`select 1 as x`.execute(transaction);
      expectEqual('transaction', rows, [{ x: 1 }]);
    }),
  );
  await step('client', async () => {
    const client = await pool.connect();
    try {
      expectEqual('client', (await client.query('select 3 as three')).rows, [{ three: 3 }]);
      expectEqual('client', (await client.query('select $1::text as t', ['x'])).rows, [{ t: 'x' }]);
    } finally {
      client.release();
    }
  });
  await step('cursor', async () => {
    const client = await pool.connect();
    try {
      const cursor = client.query(new Cursor('select generate_series(1, 5) as n'));
      expectEqual('cursor', (await cursor.read(2)).length, 2);
      expectEqual('cursor', (await cursor.read(9)).length, 3);
      await cursor.close();
    } finally {
      client.release();
    }
  });
  await step('stream', async () => {
    const client = await pool.connect();
    try {
      let count = 0;
      for await (const _ of client.query(new QueryStream('select generate_series(1, 5) as n'))) count++;
      expectEqual('stream', count, 5);
    } finally {
      client.release();
    }
  });
  await step('kysely stream', async () => {
    let count = 0;
    for await (const _ of db
      .selectFrom(sql<{ n: number }>`generate_series(1, 5)`.as('n'))
      .selectAll()
      .stream(2)) {
      count++;
    }
    expectEqual('kysely stream', count, 5);
  });
  await step('copy', async () => {
    const client = await pool.connect();
    try {
      const copy = client.query(new CopyOut('copy (select generate_series(1, 3)) to stdout'));
      expectEqual('copy', await copy.ended, '1\n2\n3\n');
    } finally {
      client.release();
    }
  });
  await step('failing', async () => expectEqual('failing', await codeOf(pool.query('select 1 / 0')), '22012'));
  await step('failing stream', async () => {
    const rows = async (): Promise<void> => {
      const stream = db
        .selectFrom(sql<{ n: number }>`generate_series(1, 1 / 0)`.as('n'))
        .selectAll()
        .stream();
      for await (const _ of stream);
    };
    expectEqual('failing stream', await codeOf(rows()), '22012');
  });
  await step('failing prepared', async () => {
    expectEqual('failing prepared', await codeOf(pool.query('select 1 / $1::int', [1])), 'nothing');
    expectEqual('failing prepared', await codeOf(pool.query('select 1 / $1::int', [1])), 'nothing');
    expectEqual('failing prepared', await codeOf(pool.query('select 1 / $1::int', [0])), '22012');
  });
  await step('timed out', async () => {
    const config = { text: 'select pg_sleep(20)', query_timeout: 100 };
    expectEqual('timed out', await codeOf(pool.query(config)), 'ERR_POOL_QUERY_TIMEOUT');
  });
  await step('timed out, prepared', async () => {
    const config = { text: 'select pg_sleep($1)', values: [20], query_timeout: 100 };
    expectEqual('timed out, prepared', await codeOf(pool.query(config)), 'ERR_POOL_QUERY_TIMEOUT');
  });
  const admin = new Pool('admin', { url: url as string, size: 1 });
  await step('queued behind a lost one', async () => {
    const client = await pool.connect();
    client.on('error', () => undefined);
    const text = 'select $1::int as queued';
    for (let n = 0; n < 2; n++) await client.query(text, [n]);
    const answers = [client.query('select pg_sleep(20) /* lost */'), client.query(text, [2]), client.query(text, [3])];
    const codes = Promise.all(
      answers.map((answer) =>
        answer.then(
          () => 'nothing',
          () => 'failed',
        ),
      ),
    );
    const end =
      "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and query like '%/* lost */%' and pid <> pg_backend_pid()";
    while ((await tracer.run('ending', () => admin.query(end))).rowCount === 0) await delay(20);
    expectEqual('queued', await codes, ['failed', 'failed', 'failed']);
    client.release();
  });
  for (const fn of ['pg_cancel_backend', 'pg_terminate_backend']) {
    for (const [name, values] of [
      ['', undefined],
      [', prepared', [20]],
    ] as const) {
      await step(`${fn}${name}`, async () => {
        const text = `select ${values === undefined ? 'pg_sleep(20)' : 'pg_sleep($1)'} /* ${fn} */`;
        if (values !== undefined) await Promise.all([pool.query(text, [0]), pool.query(text, [0])]);
        const ended = codeOf(pool.query(text, values && [...values]));
        // A server that still reads the messages of a statement hears no cancel: it has to sleep.
        const end = `select ${fn}(pid) from pg_stat_activity where wait_event = 'PgSleep' and query like '%/* ${fn} */%'`;
        while ((await tracer.run('ending', () => admin.query(end))).rowCount === 0) await delay(20);
        expectEqual(fn, await ended, fn === 'pg_cancel_backend' ? '57014' : '57P01');
      });
    }
  }
  await admin.close();
}
await pool.close();
await pipelined.close();

const spans = await tracer.spans();
process.stdout.write(`\nFOUND ${JSON.stringify({ problems, spans })}\n`);
setTimeout(() => process.exit(0), 10);
