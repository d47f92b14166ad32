import { inspect } from 'node:util';
import { Client, types, type PoolClient, type QueryConfig, type QueryResult } from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { SeededRandom } from '#test/support/random.js';
import { Cases, type Case, type Step, type Way } from './cases.js';
import { Outcomes } from './outcome.js';
import { OWN_TYPES } from './sql-values.js';

export interface DifferOptions {
  readonly seed: number;
  readonly cases: number;
  /** An empty database of its own. */
  readonly url: string;
  /** The same database through a PgBouncer that prepares by itself. */
  readonly bouncerUrl?: string | undefined;
  /** Told of each difference as it is found. */
  readonly log?: (line: string) => void;
  /** Only this case is run. */
  readonly only?: number | undefined;
}

/** A case that went otherwise here than with `pg`. */
export interface Difference {
  readonly case: Case;
  /** Which step. */
  readonly step: number;
  readonly theirs: string | undefined;
  readonly ours: string | undefined;
}

export interface DifferReport {
  readonly seed: number;
  readonly cases: number;
  readonly queries: number;
  readonly errors: number;
  readonly ways: Readonly<Record<string, number>>;
  readonly preparedStatementHits: number;
  readonly differences: readonly Difference[];
}

/** Whoever runs a query in the manner of `pg`. */
interface Queryable {
  query(text: string | QueryConfig, values?: unknown[]): Promise<QueryResult>;
}

const WAYS: readonly (readonly [number, Way])[] = [
  [4, 'pool'],
  [3, 'pipelined'],
  [2, 'client'],
  [2, 'transaction'],
];

/** A parser that nobody else has. */
const ownParser = (text: string): unknown => ({ parsed: text });

/**
 * Runs random cases with plain `pg`, one query after another on one connection and never prepared, and with a
 * {@link DatabasePool}, and compares what the caller sees: values, columns, counts, commands and errors.
 */
export async function runDiffer(options: DifferOptions): Promise<DifferReport> {
  const differ = await Differ.open(options);
  try {
    return await differ.run();
  } finally {
    await differ.close();
  }
}

class Differ {
  readonly #options: DifferOptions;
  readonly #plain: Client;
  readonly #other: Client;
  readonly #clock = new ManualClock();
  readonly #pools: Readonly<Record<'pool' | 'pipelined' | 'bouncer', DatabasePool | undefined>>;
  readonly #ways: Record<string, number> = {};
  #queries = 0;
  #errors = 0;

  private constructor(options: DifferOptions, plain: Client, other: Client) {
    this.#options = options;
    this.#plain = plain;
    this.#other = other;
    const { url, bouncerUrl } = options;
    const pool = (more: DatabaseOptions): DatabasePool =>
      new DatabasePool(
        'differ',
        { url, size: 1, maxOverflow: 0, session: { timezone: 'UTC' }, ...more },
        { clock: this.#clock },
      );
    this.#pools = {
      pool: pool({ statementTimeoutMs: 0 }),
      pipelined: pool({ pipelining: {}, statementTimeoutMs: 0 }),
      bouncer: bouncerUrl === undefined ? undefined : pool({ url: bouncerUrl, statementTimeoutMs: 0 }),
    };
  }

  static async open(options: DifferOptions): Promise<Differ> {
    const connect = async (): Promise<Client> => {
      const client = new Client({ connectionString: options.url, options: '-c timezone=UTC' });
      await client.connect();
      return client;
    };
    const [plain, other] = await Promise.all([connect(), connect()]);
    await other.query(OWN_TYPES);
    return new Differ(options, plain, other);
  }

  async close(): Promise<void> {
    const pools = Object.values(this.#pools).filter((pool) => pool !== undefined);
    await Promise.all(pools.map((pool) => pool.close({ deadlineMs: 0 })));
    await Promise.all([this.#plain.end(), this.#other.end()]);
  }

  async run(): Promise<DifferReport> {
    const { seed, cases, bouncerUrl, only, log } = this.#options;
    const ways: typeof WAYS = bouncerUrl === undefined ? WAYS : [...WAYS, [4, 'bouncer']];
    const maker = new Cases(new SeededRandom(seed), ways);
    const differences: Difference[] = [];
    for (let number = 1; number <= (only ?? cases); number++) {
      const made = maker.next(number);
      if (only !== undefined && number !== only) continue;
      const difference = await this.#compare(made);
      if (difference === undefined) continue;
      differences.push(difference);
      log?.(describeDifference(difference, seed));
    }
    const hits = Object.values(this.#pools).reduce(
      (sum, pool) => sum + (pool?.statistics().preparedStatementHits ?? 0),
      0,
    );
    return {
      seed,
      cases: only === undefined ? cases : 1,
      queries: this.#queries,
      errors: this.#errors,
      ways: this.#ways,
      preparedStatementHits: hits,
      differences,
    };
  }

  async #compare(made: Case): Promise<Difference | undefined> {
    this.#ways[made.way] = (this.#ways[made.way] ?? 0) + 1;
    const theirs = await this.#around(made, () => this.#withPg(made));
    const ours = await this.#around(made, () => this.#withPool(made));
    this.#queries += theirs.length;
    this.#errors += theirs.filter((outcome) => outcome.includes('severity')).length;
    const step = theirs.findIndex((outcome, at) => outcome !== ours[at]);
    if (step === -1 && theirs.length === ours.length) return undefined;
    if (made.way === 'transaction' && wasSentInVain(theirs, step)) return undefined;
    return { case: made, step, theirs: theirs[step], ours: ours[step] };
  }

  async #around(made: Case, run: () => Promise<string[]>): Promise<string[]> {
    if (made.before !== '') await this.#other.query(made.before);
    const parsers = made.steps.flatMap((step) => (step.kind === 'parser' ? [step.dataTypeId] : []));
    const before = parsers.map((id) => types.getTypeParser(id, 'text') as (text: string) => unknown);
    try {
      return await run();
    } finally {
      parsers.forEach((id, at) => types.setTypeParser(id, 'text', before[at] as (text: string) => unknown));
      if (made.after !== '') await this.#other.query(made.after);
    }
  }

  async #withPg(made: Case): Promise<string[]> {
    const parsers = made.steps.some((step) => step.kind === 'parser' && step.of === 'client');
    if (!parsers) return this.#inTurn(made, this.#plain, this.#plain);
    // Nothing takes a parser back from a client of pg's.
    const client = new Client({ connectionString: this.#options.url, options: '-c timezone=UTC' });
    await client.connect();
    try {
      return await this.#inTurn(made, client, client);
    } finally {
      await client.end();
    }
  }

  async #withPool(made: Case): Promise<string[]> {
    const { way } = made;
    const pool = this.#pools[way === 'pipelined' || way === 'bouncer' ? way : 'pool'] as DatabasePool;
    if (way === 'pool' || way === 'bouncer') return this.#inTurn(made, pool as unknown as Queryable, undefined);
    if (way === 'pipelined') return this.#atOnce(made.steps, pool as unknown as Queryable);
    return pool.withConnection((client) => this.#inTurn(made, client as unknown as Queryable, client));
  }

  /** One step after another, in a transaction when the case says so. */
  async #inTurn(made: Case, queryable: Queryable, client: Client | PoolClient | undefined): Promise<string[]> {
    const outcomes = new Outcomes();
    const seen: string[] = [];
    if (made.way === 'transaction') await queryable.query('begin');
    for (const step of made.steps) seen.push(await this.#step(step, queryable, client, outcomes));
    if (made.way === 'transaction') await queryable.query('rollback');
    return seen;
  }

  async #step(
    step: Step,
    queryable: Queryable,
    client: Client | PoolClient | undefined,
    outcomes: Outcomes,
  ): Promise<string> {
    switch (step.kind) {
      case 'query':
        return this.#query(step, queryable, outcomes);
      case 'change':
        return this.#query(step, step.elsewhere ? this.#other : queryable, outcomes);
      case 'pause':
        await this.#clock.advance(30_000);
        return 'pause';
      case 'parser':
        if (step.of === 'client') client?.setTypeParser(step.dataTypeId, 'text', ownParser);
        else types.setTypeParser(step.dataTypeId, 'text', ownParser);
        return 'parser';
    }
  }

  async #query(
    { text, values }: { readonly text: string; readonly values?: readonly unknown[] },
    queryable: Queryable,
    outcomes: Outcomes,
  ): Promise<string> {
    const given = values === undefined || values.length === 0 ? undefined : [...values];
    try {
      return outcomes.ofResult(await queryable.query(text, given));
    } catch (error) {
      return outcomes.ofError(error);
    }
  }

  /** Twice one after another, and the rest at the same time: from the third use on queries share a connection. */
  async #atOnce(steps: readonly Step[], pool: Queryable): Promise<string[]> {
    const outcomes = new Outcomes();
    const run = (step: Step): Promise<string> => this.#step(step, pool, undefined, outcomes);
    const seen = [];
    for (const step of steps.slice(0, 2)) seen.push(await run(step));
    const rest = steps.slice(2);
    // What is read in the end comes after what was written.
    const last = rest.at(-1)?.kind === 'query' && rest.length > 2 ? rest.splice(-1) : [];
    seen.push(...(await Promise.all(rest.map(run))));
    for (const step of last) seen.push(await run(step));
    return seen;
  }
}

/**
 * A documented difference: `pg` sends a text before it finds that a value can't be sent, and when the server doesn't take the
 * text, the transaction is lost.
 */
function wasSentInVain(theirs: readonly string[], step: number): boolean {
  const unsent = theirs.slice(0, step).some((outcome) => outcome.includes('Error') && !outcome.includes('severity'));
  return unsent && theirs[step]?.includes("code: '25P02'") === true;
}

/** A difference for people, with the command that shows it again. */
export function describeDifference({ case: made, step, theirs, ours }: Difference, seed: number): string {
  const at = made.steps[step];
  return [
    `case ${made.number} (${made.way}), step ${step}: npm run differ -- --seed ${seed} --only ${made.number}`,
    ...made.steps
      .slice(0, step + 1)
      .map((one) => `  ${inspect(one, { depth: 3, breakLength: Infinity }).slice(0, 500)}`),
    at === undefined ? '' : `  pg:   ${theirs?.slice(0, 1_200)}`,
    `  ours: ${ours?.slice(0, 1_200)}`,
  ].join('\n');
}
