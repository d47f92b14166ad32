import type { QueryResult, Submittable } from 'pg';
import type { Lease } from '../../core/lease.js';
import { rethrow } from '../../core/rethrow.js';
import { TimedWaiter } from '../../core/wait-queue.js';
import type { QueryOutcome } from './query-forms.js';
import type { StatementFigures } from './statement-figures.js';
import type { TracedQuery } from './traced-query.js';

/** What a statement reports to its connection. */
export interface StatementOwner {
  /** It was answered: with a result, or with an error of the server or of the connection. */
  answered(statement: Statement, error: Error | undefined, result: QueryResult | undefined, untouched: boolean): void;
  /** It wasn't answered in time; returns the error for the caller. */
  overdue(statement: Statement): Error;
}

/** One statement on a connection. Its callback is called once: with the answer, or at its deadline. */
export class Statement extends TimedWaiter {
  /** Its lease; none for a statement of the pool itself. A running statement keeps its lease from being collected. */
  readonly lease: Lease<unknown> | undefined;
  readonly text: string;
  readonly timeoutMs: number;
  /** The object that pg runs for it, where that is another one. */
  query: Submittable | undefined = undefined;
  /** A tracer's callback: it gets the answer first, and passes it on by {@link heard}. */
  relay: QueryOutcome | undefined = undefined;
  /** Its trace. */
  trace: TracedQuery | undefined = undefined;
  /** Where it is counted, if anywhere. */
  figures: StatementFigures | undefined = undefined;
  /** Milliseconds on the pool's clock; `Infinity` until then, and where nobody asks for it. */
  sentAt = Infinity;
  #settled = false;
  #told = false;
  #untouched = false;
  readonly #owner: StatementOwner;
  readonly #callback: QueryOutcome;

  constructor(
    owner: StatementOwner,
    lease: Lease<unknown> | undefined,
    text: string,
    timeoutMs: number,
    callback: QueryOutcome,
  ) {
    super();
    this.#owner = owner;
    this.lease = lease;
    this.text = text;
    this.timeoutMs = timeoutMs;
    this.#callback = callback;
  }

  /** Whether the caller has its answer. */
  get settled(): boolean {
    return this.#settled;
  }

  /** It is answered. Called more than once when a value can't be serialised. */
  settle(error: Error | null | undefined, result: QueryResult, untouched = false): void {
    if (this.#settled) return;
    this.#settled = true;
    const failure = error ?? undefined;
    this.#owner.answered(this, failure, result, untouched);
    this.#pass(failure, result, untouched);
  }

  expire(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#pass(this.#owner.overdue(this), undefined as never, false);
  }

  #pass(error: Error | undefined, result: QueryResult, untouched: boolean): void {
    const { relay } = this;
    if (relay === undefined) return this.#tell(error, result, untouched);
    this.#untouched = untouched;
    try {
      relay(error, result);
    } catch (thrown) {
      rethrow(thrown);
    }
  }

  /** The answer: from a tracer that passes it on, or from `pg`, where a tracer had it run a copy. */
  heard(error: Error | null | undefined, result: QueryResult): void {
    if (this.#told) return;
    this.#told = true;
    const failure = error ?? undefined;
    if (!this.#settled) {
      this.#settled = true;
      this.#owner.answered(this, failure, result, this.#untouched);
    }
    this.#tell(failure, result, this.#untouched);
  }

  #tell(error: Error | undefined, result: QueryResult, untouched: boolean): void {
    try {
      if (error === undefined) this.#callback(undefined, result);
      else this.#callback(error, undefined as never, untouched);
    } catch (thrown) {
      rethrow(thrown);
    }
  }
}
