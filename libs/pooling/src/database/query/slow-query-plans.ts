import type { Clock } from '../../core/clock.js';
import { planText, type PlanNode } from './plan-text.js';
import { afterBlanks, wordAt } from './leading-words.js';
import { shortenStatement } from './shown-statement.js';

/** How often a statement is explained, and any of the pool's, in milliseconds. */
const SAME_TEXT_MS = 3_600_000;
const ANY_TEXT_MS = 60_000;
/** How many statements are remembered. */
const MOST_KNOWN = 1_000;
/** What can be explained. */
const EXPLAINABLE = /^(?:select|insert|update|delete|merge|with|values)$/i;
/** The server doesn't know `GENERIC_PLAN`: it is older than 16. */
const SYNTAX_ERROR = '42601';

/** An empty statement before it would be taken for what is explained. */
function isExplainable(text: string): boolean {
  return EXPLAINABLE.test(wordAt(text, afterBlanks(text, 0)));
}

/** The plan of a statement that was slow, for any values of its parameters. */
export interface SlowQueryPlan {
  readonly pool: string;
  /** The statement in one line, cut; never its parameters' values. */
  readonly statement: string;
  /** A step on each line, under the one that takes its rows. */
  readonly plan: string;
}

/** What explaining needs of the pool. */
export interface PlanHost {
  readonly pool: string;
  readonly clock: Clock;
  /** Asks the server over an idle connection; `undefined`: none is idle. */
  ask(text: string): Promise<readonly unknown[]> | undefined;
  /** @param text the statement's, whole. */
  explained(plan: SlowQueryPlan, text: string): void;
}

/**
 * Asks the server how it plans statements that were slow: once for each text and hour, one a minute, over an idle
 * connection, and never by running them.
 */
export class SlowQueryPlans {
  readonly #host: PlanHost;
  readonly #explainedAt = new Map<string, number>();
  #lastAt = -Infinity;
  #off = false;

  constructor(host: PlanHost) {
    this.#host = host;
  }

  /** A statement was slow. Its text is known to hold one statement: the server has parsed it as such. */
  slow(text: string): void {
    const now = this.#host.clock.now();
    if (this.#off || now < this.#lastAt + ANY_TEXT_MS || !isExplainable(text)) return;
    if (now < (this.#explainedAt.get(text) ?? -Infinity) + SAME_TEXT_MS) return;
    const answer = this.#host.ask(`EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${text}`);
    if (answer === undefined) return;
    this.#lastAt = now;
    if (this.#explainedAt.size >= MOST_KNOWN) this.#explainedAt.clear();
    this.#explainedAt.set(text, now);
    answer.then(
      ([row]) => this.#tell(text, row),
      (error: { readonly code?: unknown }) => {
        // The statement itself was fine: the server doesn't know `GENERIC_PLAN`.
        if (error.code === SYNTAX_ERROR) this.#off = true;
      },
    );
  }

  #tell(text: string, row: unknown): void {
    const found = (row as { readonly 'QUERY PLAN'?: unknown } | undefined)?.['QUERY PLAN'];
    const plans = (typeof found === 'string' ? JSON.parse(found) : found) as readonly { Plan?: PlanNode }[] | undefined;
    const plan = plans?.[0]?.Plan;
    if (plan === undefined) return;
    const { pool } = this.#host;
    this.#host.explained({ pool, statement: shortenStatement(text), plan: planText(plan) }, text);
  }
}
