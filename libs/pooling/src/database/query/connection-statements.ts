import type { Clock } from '../../core/clock.js';
import type { PreparedText, StatementCache } from './statement-cache.js';
import type { RowShape } from '../wire/row-shape.js';

/**
 * A statement is prepared again after this long, in milliseconds: somebody else may have changed what its parameters mean,
 * and the server says nothing of it (`timestamp` has become `timestamptz`).
 */
const MAX_AGE_MS = 30_000;

/** A statement that a connection has prepared. */
export interface PreparedStatement {
  readonly prepared: PreparedText;
  /** What is sent to the server. */
  readonly text: string;
  /** Whether the server has said that it has it. */
  parsed: boolean;
  /** How often it was run on this connection. */
  uses: number;
  /** `null`: it gives no rows; `undefined`: the server hasn't told yet. */
  shape: RowShape | null | undefined;
  /** The number of changes that it has seen; see {@link ConnectionStatements}. */
  changes: number;
  /** When it is prepared again, in milliseconds. */
  readonly staleAt: number;
}

/**
 * The statements that one connection has prepared, at most as many as the pool allows. Surplus ones are closed together with
 * the next statement that is prepared, without a round trip of their own.
 *
 * A statement can be used while nothing has changed how its text is read: the schema, the settings of its session, what is
 * known of the text. Each of these changes is counted, and the sum shows whether one has happened.
 */
export class ConnectionStatements {
  readonly #cache: StatementCache | undefined;
  readonly #statements = new Map<PreparedText, PreparedStatement>();
  #toClose: Buffer[] = [];
  /** Counts changes of this session. */
  #changes = 0;

  /** Whether there is a pooler: it may have prepared a text long ago. */
  readonly #pooled: () => boolean;
  readonly #clock: Clock;

  constructor(cache: StatementCache | undefined, clock: Clock, pooled: () => boolean) {
    this.#cache = cache;
    this.#clock = clock;
    this.#pooled = pooled;
  }

  /** Which texts the pool prepares. */
  get cache(): StatementCache {
    if (this.#cache === undefined) throw new Error('bug: this pool prepares nothing');
    return this.#cache;
  }

  /** The statement of a text, when the server has it and would still read the text in the same way. */
  get(prepared: PreparedText, now: number): PreparedStatement | undefined {
    const statement = this.#statements.get(prepared);
    if (statement === undefined) return undefined;
    if (statement.changes === this.#changesOf(prepared, now) && now < statement.staleAt) return statement;
    this.remove(prepared);
    return undefined;
  }

  #changesOf(prepared: PreparedText, now: number): number {
    return this.cache.changes(now) + this.#changes + prepared.drops;
  }

  /** Notes that a text is being prepared. */
  add(prepared: PreparedText, now: number): PreparedStatement {
    for (const old of this.#statements.keys()) {
      if (old.dropped || old.customPlanned) this.remove(old);
    }
    if (this.#statements.size >= (this.#cache?.max ?? 0)) this.#removeLeastRecent();
    const changes = this.#changesOf(prepared, now);
    const pooled = this.#pooled();
    const wallNow = pooled ? this.#clock.wallNow() : 0;
    const statement: PreparedStatement = {
      prepared,
      text: pooled ? this.cache.textForPooler(prepared, now, wallNow, MAX_AGE_MS) : prepared.sent,
      parsed: false,
      uses: 0,
      shape: undefined,
      changes,
      staleAt: now + MAX_AGE_MS - (wallNow % MAX_AGE_MS),
    };
    this.#statements.set(prepared, statement);
    return statement;
  }

  /** The names to close before the next statement is prepared. */
  takeClosed(): readonly Buffer[] {
    const names = this.#toClose;
    if (names.length > 0) this.#toClose = [];
    return names;
  }

  /** The server has skipped the closing of these. */
  closeAgain(names: readonly Buffer[]): void {
    this.#toClose.push(...names);
  }

  /** Forgets a statement that the server may or may not have; a later one closes it. */
  remove(prepared: PreparedText): void {
    if (this.#statements.delete(prepared)) this.#toClose.push(prepared.nameBytes);
  }

  /** This session looks up names elsewhere from now on. */
  sessionChanged(): void {
    this.#changes++;
  }

  /** This session reads literals in another way from now on. */
  literalsChanged(): void {
    for (const statement of this.#statements.values()) {
      if (statement.prepared.literal) statement.changes = -1;
    }
  }

  /** The server has no statements of this session any more. */
  clear(): void {
    this.#statements.clear();
    this.#toClose = [];
  }

  #removeLeastRecent(): void {
    let oldest: PreparedText | undefined;
    for (const prepared of this.#statements.keys()) {
      if (oldest === undefined || prepared.lastUse < oldest.lastUse) oldest = prepared;
    }
    if (oldest !== undefined) this.remove(oldest);
  }
}
