import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { QueryConfig } from 'pg';
import Cursor from 'pg-cursor';
import { PostgresServer } from 'nestjs-pooling/testing';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { AlteringProxy } from '#test/support/altering-proxy.js';
import { SeededRandom } from '#test/support/random.js';
import { TrackedSockets } from '#test/support/tracked-sockets.js';
import { Mutator } from './mutator.js';

/** What a run is made with. */
export interface DatabaseHostileOptions {
  readonly seed: number;
  /** How many queries, transactions and cursors are run. */
  readonly exchanges: number;
  readonly workers?: number;
  /** Told of each change. */
  readonly log?: (line: string) => void;
}

/** What a run has seen. */
export interface DatabaseHostileReport {
  readonly seed: number;
  readonly exchanges: number;
  readonly answered: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly mutations: Readonly<Record<string, number>>;
  /** Changes of what a value, a name, a tag or a status says: no client can know of them. */
  readonly unseen: number;
  /** Answers that came out otherwise because of those. */
  readonly garbled: number;
  readonly longestMs: number;
  /** The longest time that the event loop stood still. */
  readonly stalledMs: number;
}

const ACQUIRE_TIMEOUT_MS = 3_000;
const QUERY_TIMEOUT_MS = 400;
/** A cursor's reader decides for itself how long it waits. */
const CURSOR_TIMEOUT_MS = 1_500;
/** What one exchange may take at the most: an acquire, five queries, and a busy machine. */
const LONGEST_MS = ACQUIRE_TIMEOUT_MS + 5 * (QUERY_TIMEOUT_MS + 1_000) + 20_000;
/** How many messages of an honest server are left between two changes, on average. */
const MESSAGES_PER_MUTATION = 60;
/** What each query asks for, so that a stranger's row is known as such. */
const NONCE = /nonce-\d+-[0-9a-f]{8}/g;

type Row = Record<string, unknown>;

/** One thing that a caller does; gives the rows, and those that it has to get. */
type Exchange = (
  pool: DatabasePool,
  nonce: string,
) => Promise<readonly [rows: readonly Row[], expected: readonly Row[]]>;

const SHORT = 'select $1::text as nonce, $2::int as n';
const LONG = 'select $1::text as nonce, n, repeat($1, 3) as long from generate_series(1, $2::int) n';

function longRows(nonce: string, count: number): Row[] {
  return Array.from({ length: count }, (_, at) => ({ nonce, n: at + 1, long: nonce.repeat(3) }));
}

const EXCHANGES: readonly (readonly [weight: number, exchange: Exchange])[] = [
  [10, async (pool, nonce) => [(await pool.query(SHORT, [nonce, 7])).rows, [{ nonce, n: 7 }]]],
  [5, async (pool, nonce) => [(await pool.query(LONG, [nonce, 30])).rows, longRows(nonce, 30)]],
  [4, async (pool, nonce) => [(await pool.query(`select '${nonce}' as nonce`)).rows, [{ nonce }]]],
  [
    2,
    async (pool, nonce) => {
      const answers = await pool.query(`select '${nonce}' as nonce; select '${nonce}' as nonce, 2 as n`);
      const rows = (answers as unknown as { rows: Row[] }[]).flatMap(({ rows: each }) => each);
      return [rows, [{ nonce }, { nonce, n: 2 }]];
    },
  ],
  [
    3,
    async (pool, nonce) => [
      (await pool.query({ text: LONG, values: [nonce, 5], prepare: false } as object as { text: string })).rows,
      longRows(nonce, 5),
    ],
  ],
  [
    3,
    async (pool, nonce) => {
      const error = await pool.query("select ($1 || ' is no number')::int as n", [nonce]).then(
        () => new Error('it should have failed'),
        (reason: Error & { code?: unknown }) => reason,
      );
      if ((error as { code?: unknown }).code !== '22P02') throw error;
      return [[{ nonce: /"(.*) is no number"/.exec(error.message)?.[1] }], [{ nonce }]];
    },
  ],
  [
    3,
    (pool, nonce) =>
      pool.withConnection(async (client) => {
        await client.query('begin');
        const { rows: first } = await client.query<Row>(SHORT, [nonce, 1]);
        const { rows: second } = await client.query<Row>(LONG, [nonce, 2]);
        await client.query('commit');
        return [
          [...first, ...second],
          [{ nonce, n: 1 }, ...longRows(nonce, 2)],
        ];
      }),
  ],
  [
    2,
    async (pool, nonce) => {
      const client = await pool.connect();
      let timer: NodeJS.Timeout | undefined;
      const silent = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error('the server fell silent')), CURSOR_TIMEOUT_MS);
      });
      const read = async (): Promise<Row[]> => {
        const cursor = client.query(new Cursor<Row>(LONG, [nonce, 7]));
        const rows = [...(await cursor.read(3)), ...(await cursor.read(10))];
        await cursor.close();
        return rows;
      };
      let failure: Error | undefined;
      try {
        return [await Promise.race([read(), silent]), longRows(nonce, 7)];
      } catch (error) {
        failure = error as Error;
        throw error;
      } finally {
        clearTimeout(timer);
        client.release(failure);
      }
    },
  ],
];

/**
 * Callers and a server that lies now and then: it changes the order, lengths and bytes of a real server's messages, falls
 * silent, and hangs up, before a login as well. Every exchange ends by its deadline, nothing is thrown into the process or
 * spins it, no caller gets a row that isn't its own, and with an honest server all is well again.
 */
export async function runDatabaseHostile(options: DatabaseHostileOptions): Promise<DatabaseHostileReport> {
  const server = await PostgresServer.start({ maxConnections: 60 });
  try {
    const proxy = await AlteringProxy.before(server.port);
    try {
      const url = new URL(server.url);
      url.port = String(proxy.port);
      return await new DatabaseHostile(proxy, url.href, options).run();
    } finally {
      await proxy[Symbol.asyncDispose]();
    }
  } finally {
    await server.close();
  }
}

class DatabaseHostile {
  readonly #proxy: AlteringProxy;
  readonly #options: DatabaseHostileOptions;
  readonly #random: SeededRandom;
  readonly #mutator: Mutator;
  readonly #pools: readonly DatabasePool[];
  readonly #sockets = new TrackedSockets();
  readonly #failed: Record<string, number> = {};
  readonly #mutations: Record<string, number> = {};
  readonly #issued = new Set<string>();
  #begun = 0;
  #answered = 0;
  #unseen = 0;
  #garbled = 0;
  #longestMs = 0;
  #broken: Error | undefined;

  constructor(proxy: AlteringProxy, url: string, options: DatabaseHostileOptions) {
    this.#proxy = proxy;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#mutator = new Mutator(new SeededRandom(options.seed + 1));
    const common = {
      url,
      connection: { stream: this.#sockets.make },
      size: 4,
      maxOverflow: 0,
      acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
      connectTimeoutMs: 1_000,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
      prePing: { idleMs: 500, timeoutMs: 300 },
    };
    this.#pools = [
      new DatabasePool('one at a time', common),
      new DatabasePool('pipelining', { ...common, pipelining: {} }),
      new DatabasePool('unprepared', { ...common, preparedStatements: false }),
    ];
  }

  async run(): Promise<DatabaseHostileReport> {
    const crash = (error: unknown): void => this.#fail('something was thrown into the process', error);
    process.on('uncaughtException', crash);
    process.on('unhandledRejection', crash);
    const delay = monitorEventLoopDelay({ resolution: 20 });
    delay.enable();
    this.#lie();
    try {
      const workers = Array.from({ length: this.#options.workers ?? 24 }, () => this.#work());
      await Promise.all(workers);
      this.#proxy.alter = () => undefined;
      await this.#proveAllIsWell();
      if (this.#broken !== undefined) throw this.#broken;
    } finally {
      delay.disable();
      await Promise.all(this.#pools.map((pool) => pool.close({ deadlineMs: 0 })));
      await pause(50);
      process.off('uncaughtException', crash);
      process.off('unhandledRejection', crash);
    }
    this.#holds(this.#sockets.open === 0, 'sockets are left', this.#sockets.open);
    const stalledMs = Math.round(delay.max / 1e6);
    // A message that spins the process would never let go of it.
    this.#holds(stalledMs < 10_000, 'the event loop stood still', stalledMs);
    if (this.#broken !== undefined) throw this.#broken;
    return {
      seed: this.#options.seed,
      exchanges: this.#begun,
      answered: this.#answered,
      failed: this.#failed,
      mutations: this.#mutations,
      unseen: this.#unseen,
      garbled: this.#garbled,
      longestMs: Math.round(this.#longestMs),
      stalledMs,
    };
  }

  #lie(): void {
    const { log } = this.#options;
    this.#proxy.alter = (message) => {
      if (this.#random.next() * MESSAGES_PER_MUTATION >= 1) return undefined;
      const mutation = this.#mutator.mutate(message);
      this.#mutations[mutation.kind] = (this.#mutations[mutation.kind] ?? 0) + 1;
      if (mutation.unseen === true) this.#unseen++;
      log?.(`${mutation.kind} ${JSON.stringify(message.bytes.toString('latin1').slice(0, 60))}`);
      return mutation;
    };
  }

  async #work(): Promise<void> {
    while (this.#begun < this.#options.exchanges && this.#broken === undefined) {
      this.#begun++;
      const nonce = `nonce-${this.#begun}-${Math.floor(this.#random.next() * 2 ** 32)
        .toString(16)
        .padStart(8, '0')}`;
      this.#issued.add(nonce);
      const pool = this.#pools[this.#random.between(0, this.#pools.length - 1)] as DatabasePool;
      await this.#exchange(pool, nonce, this.#random.pick(EXCHANGES));
    }
  }

  async #exchange(pool: DatabasePool, nonce: string, exchange: Exchange): Promise<void> {
    const startedAt = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, LONGEST_MS, 'late');
    });
    try {
      const outcome = await Promise.race([exchange(pool, nonce), late]);
      if (outcome === 'late')
        return this.#fail('an exchange does not end', {
          pool: pool.name,
          nonce,
          exchange: exchange.toString().slice(0, 200),
        });
      this.#judge(pool, nonce, ...outcome);
    } catch (error) {
      this.#judgeError(nonce, error);
    } finally {
      clearTimeout(timer);
      this.#longestMs = Math.max(this.#longestMs, performance.now() - startedAt);
    }
  }

  #judge(pool: DatabasePool, nonce: string, rows: readonly Row[], expected: readonly Row[]): void {
    this.#answered++;
    if (JSON.stringify(rows) === JSON.stringify(expected)) return;
    this.#garbled++;
    const state = { pool: pool.name, nonce, rows: rows.slice(0, 3) };
    this.#holds(this.#strangersIn(JSON.stringify(rows), nonce).length === 0, 'a caller got a stranger’s row', state);
    this.#holds(this.#garbled <= this.#unseen, 'an answer came out otherwise, and no value was changed', state);
  }

  #judgeError(nonce: string, error: unknown): void {
    const { code, name, message } = error as { code?: unknown; name?: unknown; message?: unknown };
    const kind = typeof code === 'string' ? code : String(name);
    this.#failed[kind] = (this.#failed[kind] ?? 0) + 1;
    this.#holds(error instanceof Error, 'a caller got an error that is none', error);
    this.#holds(this.#strangersIn(String(message), nonce).length === 0, 'a caller got a stranger’s error', {
      nonce,
      message,
    });
  }

  /** The nonces of others in a text. */
  #strangersIn(text: string, nonce: string): string[] {
    return (text.match(NONCE) ?? []).filter((found) => found !== nonce && this.#issued.has(found));
  }

  /** With an honest server every slot serves. */
  async #proveAllIsWell(): Promise<void> {
    for (const pool of this.#pools) {
      // What is idle may be mute since before.
      pool.expireAll();
      // However long it takes on this machine.
      const ask = async (n: number): Promise<{ rows: readonly unknown[] }> => {
        const client = await pool.connect({ timeoutMs: 30_000 });
        const query = { text: SHORT, values: ['well', n], query_timeout: 30_000 };
        return client.query(query as QueryConfig).finally(() => client.release());
      };
      const answers = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => ask(n)));
      for (const [n, answer] of answers.entries()) {
        const rows = answer.status === 'fulfilled' ? answer.value.rows : [];
        this.#holds(
          JSON.stringify(rows) === JSON.stringify([{ nonce: 'well', n }]),
          'an honest server is not believed',
          answer,
        );
      }
      const { waiting, inUse, acquired, released } = pool.statistics();
      this.#holds(waiting === 0 && inUse === 0 && acquired === released, 'a slot is lost', pool.statistics());
    }
  }

  #holds(condition: boolean, what: string, state: unknown): void {
    if (!condition) this.#fail(what, state);
  }

  /** Ends the run with an error that names the seed, so that it can be had again. */
  #fail(what: string, state: unknown): void {
    const shown = state instanceof Error ? state.stack : JSON.stringify(state);
    this.#broken ??= new Error(`${what} (replay: npm run hostile -- --seed ${this.#options.seed}) ${shown}`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
