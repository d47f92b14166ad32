import type { QueryResult, Submittable } from 'pg';
import type { Lease } from '../../core/lease.js';
import type { StatementSender } from '../../database/connection/statement-runner.js';
import type { Opening } from '../../database/query/opening.js';
import { parametersOf, textOf, type QueryOutcome, type QueryText } from '../../database/query/query-forms.js';
import type { TracedQuery } from '../../database/query/traced-query.js';
import type { TracedTransaction } from '../../database/query/traced-transaction.js';
import type { WireText } from '../../database/query/unnamed-text.js';
import type { HeldConnection } from './held-connection.js';

/** Sends statements for those who hold a test's connection: each goes by way of its holder's {@link HeldConnection}. */
export class HeldRunner implements StatementSender {
  readonly #sender: StatementSender;
  readonly #heldBy: (lease: Lease<unknown>) => HeldConnection;

  constructor(sender: StatementSender, heldBy: (lease: Lease<unknown>) => HeldConnection) {
    this.#sender = sender;
    this.#heldBy = heldBy;
  }

  get transaction(): TracedTransaction | undefined {
    return this.#sender.transaction;
  }

  set transaction(transaction: TracedTransaction | undefined) {
    this.#sender.transaction = transaction;
  }

  get shareable(): boolean {
    return false;
  }

  execute(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    this.#run(lease, config, values, callback, (answer) => {
      this.#sender.execute(lease, config, values, timeoutMs, answer);
    });
  }

  executeUnprepared(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    this.#run(lease, config, values, callback, (answer) => {
      this.#sender.executeUnprepared(lease, config, values, timeoutMs, answer);
    });
  }

  executePrepared(
    lease: Lease<unknown>,
    prepared: WireText,
    values: readonly unknown[],
    timeoutMs: number,
    callback: QueryOutcome,
    trace: TracedQuery | undefined,
  ): void {
    this.#run(lease, prepared.text, [...values], callback, (answer) => {
      this.#sender.executePrepared(lease, prepared, values, timeoutMs, answer, trace);
    });
  }

  /** What the pool asks for itself is nobody's. */
  #run(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    callback: QueryOutcome,
    send: (callback: QueryOutcome) => void,
  ): void {
    if (lease === undefined) return send(callback);
    const given = parametersOf(config, values);
    this.#heldBy(lease).statement(textOf(config), Array.isArray(given) ? given : [], send, callback);
  }

  /** One statement after the other: what a savepoint has to guard can't be told beforehand. */
  runsInOrder(): boolean {
    return false;
  }

  executeInOrder(): never {
    throw new Error('bug: nothing runs in order here');
  }

  open(lease: Lease<unknown>, opening: Opening): void {
    this.#heldBy(lease).open(opening);
  }

  get asksAlong(): boolean {
    return false;
  }

  ask(text: string, timeoutMs: number, callback: QueryOutcome): void {
    this.#sender.ask(text, timeoutMs, callback);
  }

  run(text: string, values?: unknown[]): Promise<QueryResult> {
    return this.#sender.run(text, values);
  }

  submit<Kind extends Submittable>(lease: Lease<unknown>, submittable: Kind): Kind {
    this.#heldBy(lease).submit(submittable);
    return submittable;
  }

  trace(lease: Lease<unknown>, config: QueryText, values: unknown[] | undefined): TracedQuery | undefined {
    return this.#sender.trace(lease, config, values);
  }
}
