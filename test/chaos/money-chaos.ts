/**
 * Money that must add up: callers who all move it in transactions of every shape, on a pool of few connections that are cut at
 * random bytes. Each statement leaves a mark in the database, so that it shows afterwards which ones were done.
 */
import { sql, type Kysely } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { Client } from 'pg';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { batch } from '#pooling/database/kysely/batch.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import { delay } from '#pooling/testing/delay.js';
import { SeededRandom } from '#test/support/random.js';

const CALLERS = 14;
const ACCOUNTS = 8;
const BALANCE = 1_000;

/** What may go wrong here: connections that are lost, and the transactions that are made to fail. */
const EXPECTED = new Set([
  '23514',
  '25P02',
  '40001',
  '40P01',
  '57014',
  '57P01',
  'ECONNRESET',
  'EPIPE',
  'ERR_POOL_COMMIT_UNKNOWN',
  'ERR_POOL_QUERY_TIMEOUT',
  'ERR_POOL_TRANSACTION_OVER',
  'ERR_POOL_TRANSACTION_TIMEOUT',
]);

interface Schema {
  account: { id: number; balance: number };
  mark: { of: string; step: number };
}

type Db = Kysely<Schema>;

/** How a transaction is known to have ended, and what its statements were answered. */
interface Moved {
  readonly of: string;
  readonly shape: string;
  readonly done: Set<number>;
  /** Undone by a savepoint. */
  readonly undone: Set<number>;
  failed: number;
  outcome: 'committed' | 'not' | 'unknown';
  error: (Error & { readonly code?: string }) | undefined;
}

export interface MoneyChaosRun {
  readonly seed: number;
  /** How long it takes at least. */
  readonly durationMs: number;
  /** Whether it has seen enough: on a busy machine that takes longer. */
  readonly enough: (committed: number, cuts: number) => boolean;
  /** The database, in which nothing is. */
  readonly url: string;
  /** Makes the pool, at that address. */
  readonly createPool: (url: string) => DatabasePool;
}

export interface MoneyChaosReport {
  readonly outcomes: Record<Moved['outcome'], number>;
  readonly cuts: number;
  /** What broke a promise: nothing. */
  readonly broken: readonly string[];
}

export const MONEY_TABLES: readonly string[] = [
  'create table account (id int primary key, balance int not null)',
  `insert into account select id, ${BALANCE} from generate_series(1, ${ACCOUNTS}) id`,
  'create table mark ("of" text not null, step int not null, refused boolean not null, primary key ("of", step))',
  `create function refuse_mark() returns trigger language plpgsql as $$
   begin
     if new.refused then raise exception 'refused at COMMIT' using errcode = '23514'; end if;
     return null;
   end $$`,
  `create constraint trigger at_commit after insert on mark deferrable initially deferred
   for each row execute function refuse_mark()`,
];

/** One statement: it moves money to or from an account, and leaves its mark. */
function step(db: Db, of: string, at: number, account: number, amount: number, refused = false): Promise<unknown> {
  return sql`
    with marked as (insert into mark ("of", step, refused) values (${of}, ${at}, ${refused}))
    update account set balance = balance + ${amount} where id = ${account}`.execute(db);
}

class Caller {
  readonly #db: Db;
  readonly #pool: DatabasePool;
  readonly #random: SeededRandom;
  readonly #name: string;
  #count = 0;

  constructor(pool: DatabasePool, db: Db, seed: number, name: string) {
    this.#pool = pool;
    this.#db = db;
    this.#random = new SeededRandom(seed);
    this.#name = name;
  }

  async move(): Promise<Moved> {
    const of = `${this.#name}.${this.#count++}`;
    const shape = this.#random.pick<keyof Caller['shapes']>([
      [4, 'inTurn'],
      [4, 'atOnce'],
      [4, 'ignoring'],
      [2, 'savepoint'],
      [2, 'stream'],
      [2, 'several'],
      [2, 'settings'],
      [2, 'controlled'],
      [2, 'connection'],
      [2, 'batched'],
      [2, 'refused'],
      [2, 'retried'],
      [2, 'late'],
      [2, 'readOnly'],
      [1, 'empty'],
      [1, 'single'],
    ]);
    const moved: Moved = {
      of,
      shape,
      done: new Set(),
      undone: new Set(),
      failed: 0,
      outcome: 'not',
      error: undefined,
    };
    try {
      await this.shapes[shape](moved);
      moved.outcome = 'committed';
    } catch (error) {
      moved.error = error as Error;
      moved.outcome = moved.error.code === 'ERR_POOL_COMMIT_UNKNOWN' ? 'unknown' : 'not';
    }
    return moved;
  }

  /** Statements that are balanced when all of them are done. */
  #steps(db: Db, moved: Moved, refused = false): (() => Promise<unknown>)[] {
    const pairs = this.#random.between(1, 2);
    const steps: (() => Promise<unknown>)[] = [];
    // In order, so that few of them lock each other out for good.
    const accounts = Array.from({ length: 2 * pairs }, () => this.#random.between(1, ACCOUNTS)).sort((a, b) => a - b);
    const amount = this.#random.between(1, 9);
    for (const [at, account] of accounts.entries()) {
      steps.push(async () => {
        try {
          await step(db, moved.of, at, account, at % 2 === 0 ? amount : -amount, refused);
          moved.done.add(at);
        } catch (error) {
          moved.failed++;
          throw error;
        }
      });
    }
    return steps;
  }

  async #inTurn(db: Db, moved: Moved, refused = false): Promise<void> {
    for (const run of this.#steps(db, moved, refused)) await run();
  }

  readonly shapes = {
    inTurn: (moved: Moved): Promise<void> => this.#db.transaction().execute((trx) => this.#inTurn(trx, moved)),
    atOnce: (moved: Moved): Promise<void> =>
      this.#db.transaction().execute(async (trx) => {
        await Promise.all(this.#steps(trx, moved).map((run) => run()));
      }),
    ignoring: (moved: Moved): Promise<void> =>
      this.#db.transaction().execute(async (trx) => {
        const steps = this.#steps(trx, moved);
        const first = steps.slice(1).map((run) => run());
        await Promise.allSettled([...first.slice(0, 1)]);
        // Asked for when others may have failed already, or be about to.
        await Promise.allSettled([...first, (steps[0] as () => Promise<unknown>)()]);
      }),
    savepoint: (moved: Moved): Promise<void> =>
      this.#db.transaction().execute(async (trx) => {
        await sql`savepoint one`.execute(trx);
        const undone = step(trx, moved.of, 100, 1, 5).then(() => moved.undone.add(100));
        const failing = sql`select 1 / 0`.execute(trx);
        const [, failed] = await Promise.allSettled([undone, failing]);
        if ((failed as PromiseRejectedResult).reason.code !== '22012') throw (failed as PromiseRejectedResult).reason;
        await sql`rollback to one`.execute(trx);
        await this.#inTurn(trx, moved);
      }),
    stream: (moved: Moved): Promise<void> =>
      this.#db.transaction().execute(async (trx) => {
        for await (const row of trx.selectFrom('account').selectAll().stream(3)) if (row.id > 5) break;
        await this.#inTurn(trx, moved);
      }),
    several: (moved: Moved): Promise<void> =>
      this.#db.transaction().execute(async (trx) => {
        await sql.raw('select 1; select 2').execute(trx);
        await this.#inTurn(trx, moved);
      }),
    settings: (moved: Moved): Promise<void> =>
      transactional(this.#db, { settings: { 'app.of': moved.of }, isolationLevel: 'repeatable read' }, async () => {
        const steps = this.#steps(this.#db, moved);
        await (steps[0] as () => Promise<unknown>)();
        const { rows } = await sql<{ of: string }>`select current_setting('app.of') as of`.execute(this.#db);
        if (rows[0]?.of !== moved.of) throw new Error(`another session: ${rows[0]?.of}`);
        await Promise.all(steps.slice(1).map((run) => run()));
      }),
    controlled: async (moved: Moved): Promise<void> => {
      const trx = await this.#db.startTransaction().execute();
      try {
        await this.#inTurn(trx, moved);
      } catch (error) {
        await trx.rollback().execute();
        throw error;
      }
      await trx.commit().execute();
    },
    connection: async (moved: Moved): Promise<void> =>
      this.#db.connection().execute(async (connection) => {
        await sql`select set_config('app.session', ${moved.of}, false)`.execute(connection);
        await connection.transaction().execute(async (trx) => {
          const { rows } = await sql<{ of: string }>`select current_setting('app.session', true) as of`.execute(trx);
          if (rows[0]?.of !== moved.of) throw new Error(`another session: ${rows[0]?.of}`);
        });
        await connection.transaction().execute((trx) => this.#inTurn(trx, moved));
      }),
    batched: (moved: Moved): Promise<void> =>
      this.#db.transaction().execute(async (trx) => {
        await batch(trx, [sql`select 1`, sql`select 2`]);
        await this.#inTurn(trx, moved);
      }),
    refused: (moved: Moved): Promise<void> => this.#db.transaction().execute((trx) => this.#inTurn(trx, moved, true)),
    retried: (moved: Moved): Promise<void> =>
      retryTransaction(
        this.#db,
        async (trx) => {
          moved.done.clear();
          moved.failed = 0;
          await this.#inTurn(trx, moved);
        },
        { isolationLevel: 'serializable', attempts: 3 },
      ),
    late: (moved: Moved): Promise<void> =>
      transactional(this.#db, { timeoutMs: this.#random.between(1, 30) }, () => this.#inTurn(this.#db, moved)),
    readOnly: (): Promise<void> =>
      this.#db
        .transaction()
        .setAccessMode('read only')
        .execute(async (trx) => {
          const { rows } = await sql<{ sum: string }>`select sum(balance)::text as sum from account`.execute(trx);
          if (rows[0]?.sum !== String(ACCOUNTS * BALANCE)) throw new Error(`the sum was ${rows[0]?.sum}`);
        }),
    empty: (): Promise<void> => this.#db.transaction().execute(() => Promise.resolve()),
    single: async (): Promise<void> => void (await this.#pool.query('select count(*) from mark where step = $1', [1])),
  };
}

/** Cuts connections at random moments, and at random bytes of theirs. */
async function cutting(proxy: TcpProxy, admin: Client, seed: number, goesOn: () => boolean): Promise<void> {
  const random = new SeededRandom(seed);
  while (goesOn()) {
    await delay(random.between(1, 60));
    proxy.delay(random.between(0, 3), random.next() < 0.5 ? 'toServer' : 'toClient');
    const kind = random.next() < 0.5 ? 'fin' : 'rst';
    const bytes = random.pick([
      [3, 'commit'],
      [2, 'begin'],
      [1, 'with marked'],
      [1, 'COMMIT'],
      [1, 'BEGIN'],
      [1, 'UPDATE 1'],
    ]);
    const direction = bytes === 'commit' || bytes === 'begin' || bytes === 'with marked' ? 'toServer' : 'toClient';
    const deliver = random.next() < 0.5;
    const end = random.between(0, 1_000_000);
    await random.pick<() => Promise<unknown>>([
      [5, () => Promise.race([proxy.cutWhen({ bytes, direction, deliver, kind }), delay(500)])],
      [2, () => Promise.resolve(proxy.cut(kind, (port) => (port + end) % 2 === 0))],
      [
        2,
        () =>
          admin.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'money' and pid % 2 = $1`,
            [end % 2],
          ),
      ],
    ])();
  }
}

/** What the database says of one transaction against what its caller was told. */
function broken(moved: Moved, marked: ReadonlySet<number>): string | undefined {
  const { of, shape, done, undone, failed, outcome, error } = moved;
  const told = `${of} (${shape}): ${outcome}, answered ${[...done].join()}, marks ${[...marked].join()}`;
  if (error !== undefined && !EXPECTED.has(error.code ?? '') && !/connection|terminat/i.test(error.message))
    return `${told}: unexpected ${error.message} (${error.code ?? 'no code'})`;
  if ([...undone].some((at) => marked.has(at))) return `${told}: has what was undone`;
  const whole = marked.size === done.size && [...marked].every((at) => done.has(at));
  if (outcome === 'not') return marked.size === 0 ? undefined : `${told}: has marks`;
  if (outcome === 'unknown') return marked.size === 0 || whole ? undefined : `${told}: is half done`;
  if (failed > 0) return `${told}: committed without what had failed`;
  return whole ? undefined : `${told}: isn't as it was told`;
}

/** Runs it. Each caller's choices are repeated by the seed; what the network does meanwhile isn't. */
export async function runMoneyChaos(run: MoneyChaosRun): Promise<MoneyChaosReport> {
  const { seed, durationMs, url, createPool } = run;
  const admin = new Client({ connectionString: url });
  await admin.connect();
  await using proxy = await TcpProxy.listen({ port: Number(new URL(url).port) });
  const through = new URL(url);
  through.port = String(proxy.port);
  const pool = createPool(through.href);
  const db = createKysely<Schema>(pool);
  const endsAt = performance.now() + durationMs;
  const all: Moved[] = [];
  const count = (outcome: Moved['outcome']): number => all.filter((moved) => moved.outcome === outcome).length;
  let cuts = 0;
  const goesOn = (): boolean => performance.now() < endsAt || !run.enough(count('committed'), cuts);
  const calling = Array.from({ length: CALLERS }, async (_, at) => {
    const caller = new Caller(pool, db, seed * 1_000 + at, String(at));
    while (goesOn()) all.push(await caller.move());
  });
  await cutting(proxy, admin, seed, () => {
    cuts++;
    return goesOn();
  });
  await proxy.forward();
  await Promise.all(calling);
  const { inUse, waiting, acquired, released } = pool.statistics();
  const problems: string[] = [];
  if (inUse + waiting > 0 || acquired !== released) problems.push(`left: ${JSON.stringify(pool.statistics())}`);
  await pool.close();
  // A COMMIT that was cut off may still be under way.
  await vacated(admin);
  const { rows } = await admin.query<{ of: string; step: number }>('select "of", step from mark');
  const marks = new Map<string, Set<number>>();
  for (const { of, step: at } of rows) marks.set(of, (marks.get(of) ?? new Set()).add(at));
  for (const moved of all) {
    const problem = broken(moved, marks.get(moved.of) ?? new Set());
    if (problem !== undefined) problems.push(problem);
  }
  const [sum] = (await admin.query<{ sum: string }>('select sum(balance)::text as sum from account')).rows;
  if (sum?.sum !== String(ACCOUNTS * BALANCE)) problems.push(`the sum is ${sum?.sum}`);
  await admin.end();
  return {
    outcomes: { committed: count('committed'), not: count('not'), unknown: count('unknown') },
    cuts,
    broken: problems,
  };
}

async function vacated(admin: Client): Promise<void> {
  for (;;) {
    const { rowCount } = await admin.query(
      `select 1 from pg_stat_activity where datname = current_database() and application_name = 'money'`,
    );
    if (rowCount === 0) return;
    await delay(20);
  }
}
