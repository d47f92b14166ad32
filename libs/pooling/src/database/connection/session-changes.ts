import type { Clock } from '../../core/clock.js';
import type { ConnectionStatements } from '../query/connection-statements.js';
import type { TransactionStatus } from '../pg-internals.js';
import { effectOf, effectWhenSent } from '../query/statement-effects.js';

/** Settings that a server reports by itself: those by which names are looked up, and those by which literals are read. */
const REPORTED_PATH = new Set(['search_path', 'session_authorization']);
const REPORTED_LITERALS = new Set(['timezone', 'datestyle', 'intervalstyle', 'standard_conforming_strings']);

/** The shortest time between two rounds of preparing again on suspicion, after code that can't be seen here, in milliseconds. */
const SUSPICION_MS = 1_000;

/**
 * Watches one connection for statements that change how texts are read. It drops prepared statements then: those of the
 * connection at once, those of the whole pool when the transaction is committed.
 */
export class SessionChanges {
  readonly #statements: ConnectionStatements;
  /** What the transaction that is open, or the text that runs, has changed so far. */
  #pending: 'none' | 'session' | 'unsure' | 'schema' = 'none';
  #rolledBack = false;
  /** Whether the server has reported a change in the transaction that is open. */
  #hasReported = false;
  /** What this server reports: "search_path" from PostgreSQL 18 on. */
  readonly #reported = new Set<string>();
  #suspectedAt = -Infinity;

  constructor(statements: ConnectionStatements) {
    this.#statements = statements;
  }

  /** A command was answered; `text` is the whole text it was in. */
  completed(tag: string, text: string, values: readonly unknown[] | undefined, now: number): void {
    if (this.#pending !== 'none') this.#ended(tag, now);
    const effect = effectOf(tag, text, values, this.#reported);
    if (effect === 'none') return;
    this.#rolledBack = false;
    if (effect === 'forgotten') return this.#statements.clear();
    if (effect === 'literals') this.#statements.literalsChanged();
    else if (effect !== 'unsure') this.#statements.sessionChanged();
    else if (now >= this.#suspectedAt + SUSPICION_MS) {
      this.#suspectedAt = now;
      this.#statements.sessionChanged();
    }
    if (effect === 'schema' || this.#pending === 'schema') this.#pending = 'schema';
    else if (effect === 'unsure' || this.#pending === 'unsure') this.#pending = 'unsure';
    else this.#pending = 'session';
  }

  /** A text was sent, and others are sent behind it before its answer: they are read as it leaves its session. */
  sent(text: string, values: readonly unknown[]): void {
    if (effectWhenSent(text, values) !== 'none') this.#undone();
  }

  /** The end of the transaction was sent, and what is sent behind it before its answer is read as it leaves its session. */
  ends(): void {
    if (this.#pending !== 'none' || this.#hasReported) this.#undone();
  }

  /** A transaction ends, perhaps in the middle of a text; or a part of it is undone. */
  #ended(tag: string, now: number): void {
    this.#rolledBack = tag === 'ROLLBACK';
    if (tag !== 'COMMIT' && !this.#rolledBack) return;
    this.#undone();
    if (!this.#rolledBack) this.#publish(now);
  }

  /** Changes were undone, or ended with the transaction: what was prepared in between is dropped. */
  #undone(): void {
    this.#statements.sessionChanged();
    this.#statements.literalsChanged();
  }

  /** The server is ready. */
  ready(status: TransactionStatus, clock: Clock): void {
    if (status === 'I') this.#hasReported = false;
    if (this.#pending === 'none' || status !== 'I') return;
    this.#undone();
    if (this.#rolledBack) this.#pending = 'none';
    else this.#publish(clock.now());
    this.#rolledBack = false;
  }

  #publish(now: number): void {
    const { cache } = this.#statements;
    if (this.#pending === 'schema') cache.schemaChanged(now);
    else if (this.#pending === 'unsure') cache.schemaMayHaveChanged(now);
    this.#pending = 'none';
  }

  /** The server reports a setting: at the start, and with each change. */
  reported(setting: string): void {
    const name = setting.toLowerCase();
    this.#reported.add(name);
    if (REPORTED_PATH.has(name)) this.#statements.sessionChanged();
    else if (REPORTED_LITERALS.has(name)) this.#statements.literalsChanged();
    else return;
    this.#hasReported = true;
  }
}
