import type { QueryResult } from 'pg';
import type { Clock } from '../../core/clock.js';
import { presentHandler } from '../../core/request-context.js';
import { WireQuery } from '../wire/wire-query.js';
import { CountedText, commonText } from './counted-text.js';
import { mayBeGeneric } from './plan-watch.js';
import type { Statement } from './statement.js';
import { COVERED_MS, periodOf, type RunKind, type StatementTotals } from './statement-figures.js';

/** How many statements are counted at once. */
const MOST_COUNTED = 500;
/** How many texts are known, before what they have in common with others is read again; longer ones are each time, in characters. */
const MOST_TEXTS = 1_000;
const LONGEST_TEXT = 32_768;
/** How many plans are kept, and how much of each. */
const MOST_PLANS = 20;
const PLAN_LINES = 60;
const PLAN_LINE_LENGTH = 300;
/** How many statements are listed. */
const MOST_LISTED = 100;

/** What a statement has come to, by its text. */
export interface ListedStatement extends StatementTotals {
  /** In one line, cut, without literals and comments. */
  readonly text: string;
  /** The same by handler, where handlers are known. */
  readonly handlers: readonly (StatementTotals & { readonly handler?: string | undefined })[];
  /** How the server plans it, a step on each line, where it was slow and `slowQueryPlan` has asked. */
  readonly plan?: string | undefined;
}

/** The statements of the last minutes. */
export interface StatementList {
  /** How much time they cover, in milliseconds. */
  readonly coveredMs: number;
  /** Those that took most time in all, most first. */
  readonly statements: readonly ListedStatement[];
  /** How many there are. */
  readonly known: number;
}

/**
 * Counts the statements of a pool's borrowers, by text and handler: what `pg_stat_statements` shows, from this side. Off until
 * somebody wants it. Nothing of parameters is kept, and never more than a fixed number of statements.
 */
export class StatementTally {
  /** Whether statements are counted. */
  on = false;
  readonly #clock: Clock;
  #since = 0;
  /** By what their uses have in common. */
  readonly #counted = new Map<string, CountedText>();
  /** By their texts. */
  readonly #texts = new Map<string, CountedText>();
  readonly #plans = new Map<string, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts from now on; a second time does nothing. */
  start(): void {
    if (this.on) return;
    this.on = true;
    this.#since = this.#clock.now();
  }

  /** A statement is about to be sent, in the async context of whoever asked for it. */
  begins(statement: Statement): void {
    // A ping.
    if (statement.text === '') return;
    const now = this.#clock.now();
    let counted: CountedText;
    if (statement instanceof WireQuery) {
      const { prepared } = statement;
      counted = prepared.counted?.dropped === false ? prepared.counted : (prepared.counted = this.#find(prepared.text));
    } else {
      counted = this.#find(statement.text);
      statement.sentAt = now;
    }
    counted.lastPeriod = periodOf(now);
    statement.figures = counted.of(presentHandler());
  }

  /** It was answered, or never will be. */
  ended(
    statement: Statement,
    error: Error | undefined,
    result: QueryResult | readonly QueryResult[] | undefined,
  ): void {
    const { figures } = statement;
    if (figures === undefined) return;
    const now = this.#clock.now();
    // What still waited for its turn when its time was over.
    const ms = statement.sentAt === Infinity ? 0 : now - statement.sentAt;
    figures.ran(periodOf(now), kindOf(statement), ms, rowsOf(result), error !== undefined);
  }

  /** A cursor, a stream or a `COPY` is about to be sent: it answers for itself. */
  streams(text: string): void {
    if (text === '') return;
    const period = periodOf(this.#clock.now());
    const counted = this.#find(text);
    counted.lastPeriod = period;
    counted.of(presentHandler()).streamed(period);
  }

  /** It is known how the server plans a statement. */
  explained(text: string, plan: string): void {
    if (!this.on) return;
    const { text: common } = this.#find(text);
    this.#plans.delete(common);
    if (this.#plans.size >= MOST_PLANS) this.#plans.delete(this.#plans.keys().next().value as string);
    this.#plans.set(common, cutPlan(plan));
  }

  /** The statements of the last minutes; `undefined`: nobody counts them. */
  list(): StatementList | undefined {
    if (!this.on) return undefined;
    const now = this.#clock.now();
    const period = periodOf(now);
    const found = [...this.#counted.values()]
      .map((counted) => ({ counted, totals: counted.totals(period) }))
      .filter(({ totals }) => totals.count > 0)
      .toSorted((one, other) => other.totals.totalMs - one.totals.totalMs || other.totals.count - one.totals.count);
    const statements = found.slice(0, MOST_LISTED).map(({ counted, totals }) => ({
      text: counted.text,
      ...totals,
      handlers: counted.byHandler(period),
      plan: this.#plans.get(counted.text),
    }));
    return { coveredMs: Math.min(COVERED_MS, now - this.#since), statements, known: found.length };
  }

  #find(text: string): CountedText {
    const known = this.#texts.get(text);
    if (known?.dropped === false) return known;
    const common = commonText(text);
    let counted = this.#counted.get(common);
    if (counted === undefined) {
      if (this.#counted.size >= MOST_COUNTED) this.#dropOldest();
      counted = new CountedText(common);
      this.#counted.set(common, counted);
    }
    if (text.length > LONGEST_TEXT) return counted;
    if (known === undefined && this.#texts.size >= MOST_TEXTS) {
      this.#texts.delete(this.#texts.keys().next().value as string);
    }
    this.#texts.set(text, counted);
    return counted;
  }

  /** Makes room: those that weren't used in the newest period go first. */
  #dropOldest(): void {
    let oldest: CountedText | undefined;
    for (const counted of this.#counted.values()) {
      if (oldest === undefined || counted.lastPeriod < oldest.lastPeriod) oldest = counted;
    }
    if (oldest === undefined) return;
    oldest.dropped = true;
    this.#counted.delete(oldest.text);
  }
}

function kindOf(statement: Statement): RunKind {
  if (!(statement instanceof WireQuery) || !statement.prepared.kept) return 'unprepared';
  return mayBeGeneric(statement.use) ? 'generic' : 'custom';
}

function rowsOf(result: QueryResult | readonly QueryResult[] | undefined): number {
  if (result === undefined) return 0;
  if (!Array.isArray(result))
    return (result as Partial<QueryResult>).rows?.length || (result as QueryResult).rowCount || 0;
  return (result as readonly QueryResult[]).reduce((sum, each) => sum + (each.rowCount ?? 0), 0);
}

function cutPlan(plan: string): string {
  const lines = plan.split('\n');
  const shown = lines.slice(0, PLAN_LINES).map((line) => line.slice(0, PLAN_LINE_LENGTH));
  return lines.length > PLAN_LINES
    ? [...shown, `… ${lines.length - PLAN_LINES} lines more`].join('\n')
    : shown.join('\n');
}
