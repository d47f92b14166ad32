import type { Opening, OpeningStatement } from '../query/opening.js';
import { checkForm } from './message-form.js';
import { outOfOrder } from './protocol-error.js';
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  COMMAND_COMPLETE,
  DATA_ROW,
  HEADER_BYTES,
  PARSE_COMPLETE,
} from './server-message.js';
import type { WireSession } from './wire-session.js';

const NONE: readonly Buffer[] = [];

/** The role of a query in its transaction. */
export type TransactionRole =
  /** A statement. */
  | 'statement'
  /** `SAVEPOINT` and the like: without parameters and rows. */
  | 'command'
  /** `COMMIT` or `ROLLBACK`: sent even if `BEGIN` has failed. */
  | 'end'
  /** A statement of a batch: it is given up when one before it has failed. */
  | 'batched';

/**
 * The place of a query in its transaction, whose queries are sent in order and without waiting for answers.
 *
 * Until `BEGIN` is answered, all that is sent for a transaction is one unit, with one `Sync` at its end. The server skips the
 * rest of a unit when something in it fails, so that nothing runs if no transaction was begun.
 */
export class PlaceInTransaction {
  readonly opening: Opening;
  readonly role: TransactionRole;
  /** Whether `BEGIN` was sent ahead of it and isn't answered. */
  opens = false;
  /** Whether the next query belongs to the same unit. */
  chained = false;
  /** Whether it shared a unit with others: its duration isn't its own then. */
  amidUnit = false;
  /** The statements that are closed ahead of it. */
  closes: readonly Buffer[] = NONE;
  #openingStep: 'parse' | 'bind' | 'run' = 'parse';

  constructor(opening: Opening, role: TransactionRole) {
    this.opening = opening;
    this.role = role;
  }

  /** Takes a message that answers `BEGIN` or its settings; throws when it may not come. */
  takeOpening(type: number, bytes: Buffer, start: number, end: number, session: Pick<WireSession, 'completed'>): void {
    checkForm(type, bytes, start, end);
    this.#openingStep = this.#stepAfter(type);
    if (type !== COMMAND_COMPLETE) return;
    const { text, values } = this.opening.next as OpeningStatement;
    session.completed(bytes.toString('latin1', start + HEADER_BYTES, end - 1), text, values);
    if (this.opening.answeredOne()) this.opens = false;
  }

  #stepAfter(type: number): 'parse' | 'bind' | 'run' {
    const step = this.#openingStep;
    if (step === 'parse' && type === PARSE_COMPLETE) return 'bind';
    // Of a cursor that has failed before.
    if (step === 'parse' && type === CLOSE_COMPLETE) return step;
    if (step === 'bind' && type === BIND_COMPLETE) return 'run';
    // The row of `set_config`.
    if (step === 'run' && type === DATA_ROW) return step;
    if (step === 'run' && type === COMMAND_COMPLETE) return 'parse';
    throw outOfOrder(type);
  }

  /** `BEGIN` has failed: the server has skipped what was sent behind it. */
  failOpening(error: Error, { statements }: Pick<WireSession, 'statements'>): void {
    this.opens = false;
    statements.closeAgain(this.closes);
    this.opening.failed(error, true);
  }

  /** Whether it has neither parameters nor rows. */
  get bare(): boolean {
    return this.role === 'command' || this.role === 'end';
  }

  /** Whether it must not be sent: its transaction could not be begun. */
  get refused(): boolean {
    return this.opening.state === 'failed' && this.role !== 'end';
  }
}
