import type { PreparedText, StatementCache } from './statement-cache.js';
import type { RowShape } from './wire/row-shape.js';

/** Errors of the server by which a prepared statement is of no use any more, before it has done anything. */
const INVALID_STATEMENT = '26000';
const DUPLICATE_STATEMENT = '42P05';
const CHANGED_RESULT = '0A000';

/** A statement that a connection has prepared. */
export interface PreparedStatement {
  readonly prepared: PreparedText;
  /** How often it was run on this connection. */
  uses: number;
  /** `null`: it gives no rows; `undefined`: the server hasn't told yet. */
  shape: RowShape | null | undefined;
}

/**
 * What one connection has prepared, at most as much as the pool allows. What it has too much is closed together with
 * the next statement that it prepares, without a round trip of its own.
 */
export class ConnectionStatements {
  readonly #cache: StatementCache | undefined;
  readonly #statements = new Map<PreparedText, PreparedStatement>();
  #toClose: Buffer[] = [];

  constructor(cache: StatementCache | undefined) {
    this.#cache = cache;
  }

  /** How many the server holds for this connection. */
  get size(): number {
    return this.#statements.size;
  }

  /** Which texts the pool prepares. */
  get cache(): StatementCache {
    if (this.#cache === undefined) throw new Error('bug: this pool prepares nothing');
    return this.#cache;
  }

  /** The statement, when the server has it. */
  get(prepared: PreparedText): PreparedStatement | undefined {
    return this.#statements.get(prepared);
  }

  /** Notes that a statement is being prepared; gives the names to close before it. */
  add(statement: PreparedStatement): readonly Buffer[] {
    for (const prepared of this.#statements.keys()) {
      if (prepared.dropped || prepared.plannedAnew) this.remove(prepared);
    }
    if (this.#statements.size >= (this.#cache?.max ?? 0)) this.#removeLeastRecent();
    this.#statements.set(statement.prepared, statement);
    const names = this.#toClose;
    this.#toClose = [];
    return names;
  }

  /** Forgets a statement that the server may or may not have; a later one closes it. */
  remove(prepared: PreparedText): void {
    if (this.#statements.delete(prepared)) this.#toClose.push(prepared.nameBytes);
  }

  /** Forgets what a query's error tells is gone; returns whether the query's statement has to be prepared anew. */
  invalidated({ error, prepared }: { readonly error: Error | undefined; readonly prepared: PreparedText }): boolean {
    const { code, routine } = error as { code?: unknown; routine?: unknown };
    if (code === CHANGED_RESULT && routine === 'RevalidateCachedQuery') {
      this.remove(prepared);
      this.cache.invalidate(prepared);
      return true;
    }
    if (code === INVALID_STATEMENT) {
      // Deallocated behind our back, and then hardly alone.
      this.clear();
      return true;
    }
    if (code !== DUPLICATE_STATEMENT) return false;
    this.remove(prepared);
    return true;
  }

  /** The server has none any more. */
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
