import type { ClientQueryKind } from '../pg-internals.js';
import { checkRowCount, readCount } from './message-form.js';
import { otherColumns, outOfOrder } from './protocol-error.js';
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  COMMAND_COMPLETE,
  COPY_DATA,
  COPY_DONE,
  COPY_IN,
  COPY_OUT,
  DATA_ROW,
  EMPTY_QUERY,
  ERROR,
  HEADER_BYTES,
  isUnasked,
  NO_DATA,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
} from './server-message.js';

/** What has come of an answer. */
const enum Step {
  nothing,
  parsed,
  bound,
  described,
  copying,
  copied,
  ended,
  failed,
}

/** No rows are described. */
const NO_ROWS = -1;

/**
 * Checks the order of the answers to pg's own queries, as far as it can be known from outside: an answer has a beginning and an
 * end before the server is ready, rows are described first and have as many columns, and nothing comes unasked.
 */
export class ClientOrder {
  readonly #kindOf: () => ClientQueryKind;
  #kind: ClientQueryKind = 'none';
  #step = Step.nothing;
  #columns = NO_ROWS;
  #rows = 0;
  /** Whether a rule has made the statement give several sets of rows. */
  #byRules = false;

  /** @param kindOf what pg runs now. */
  constructor(kindOf: () => ClientQueryKind) {
    this.#kindOf = kindOf;
  }

  /** Throws unless the message, whose form is right, may come now. */
  check(type: number, bytes: Buffer, start: number, end: number): void {
    if (isUnasked(type)) return;
    if (this.#step === Step.nothing) {
      this.#kind = this.#kindOf();
      if (this.#kind === 'none') {
        // The server closes the connection, or answers the closing of a cursor that has failed.
        if (type === ERROR || type === CLOSE_COMPLETE) return;
        throw outOfOrder(type, ' while nothing was under way');
      }
      if (type === READY_FOR_QUERY) throw outOfOrder(type);
    }
    switch (type) {
      case DATA_ROW:
        return this.#row(bytes, start);
      case READY_FOR_QUERY:
        return this.#ready();
      case ERROR:
        this.#columns = NO_ROWS;
        this.#byRules = false;
        this.#step = Step.failed;
        return;
      case CLOSE_COMPLETE:
        if (this.#kind === 'custom' && this.#step === Step.nothing) this.#step = Step.parsed;
        // pg could not bind what it had parsed.
        else if (this.#step === Step.parsed) this.#step = Step.ended;
        return;
      case COMMAND_COMPLETE:
        return this.#complete(bytes, start, end);
      default:
    }
    if (this.#kind === 'custom') this.#custom(type, bytes, start);
    else this.#step = this.#next(type, bytes, start);
  }

  #custom(type: number, bytes: Buffer, start: number): void {
    if (type === ROW_DESCRIPTION) this.#describe(bytes, start);
    this.#step = Step.described;
    if (type === PORTAL_SUSPENDED) this.#rows = 0;
  }

  /** The step that a message leads to, of a query of pg's own. */
  #next(type: number, bytes: Buffer, start: number): Step {
    const step = this.#step;
    const simple = this.#kind === 'simple';
    const between = simple ? step === Step.nothing || step === Step.ended : step === Step.bound;
    switch (type) {
      case PARSE_COMPLETE:
        if (!simple && step === Step.nothing) return Step.parsed;
        break;
      case BIND_COMPLETE:
        if (!simple && step <= Step.parsed) return Step.bound;
        break;
      case ROW_DESCRIPTION:
        // Where rules have made several statements of one, each gives its rows, and there is one end.
        if (!between) {
          if (!simple || step !== Step.described) break;
          this.#byRules = true;
        }
        this.#describe(bytes, start);
        return Step.described;
      case NO_DATA:
        if (!simple && step === Step.bound) return Step.described;
        break;
      case EMPTY_QUERY:
        if (simple ? between : step === Step.described) return Step.ended;
        break;
      case PORTAL_SUSPENDED:
        this.#rows = 0;
        if (!simple && step === Step.described) return step;
        break;
      case COPY_IN:
      case COPY_OUT:
        if (simple ? between : step === Step.described) return Step.copying;
        break;
      case COPY_DATA:
        if (step === Step.copying) return step;
        break;
      case COPY_DONE:
        if (step === Step.copying) return Step.copied;
        break;
      default:
      // Nobody has asked for a description of parameters, or for what belongs into a login.
    }
    throw outOfOrder(type);
  }

  #describe(bytes: Buffer, start: number): void {
    this.#columns = readCount(bytes, start + HEADER_BYTES);
    this.#rows = 0;
  }

  #row(bytes: Buffer, start: number): void {
    if (this.#columns === NO_ROWS ? this.#kind !== 'custom' : this.#step === Step.failed) throw outOfOrder(DATA_ROW);
    const columns = readCount(bytes, start + HEADER_BYTES);
    if (this.#columns !== NO_ROWS && columns !== this.#columns) throw otherColumns(columns, this.#columns);
    this.#rows++;
    this.#step = Step.described;
  }

  #complete(bytes: Buffer, start: number, end: number): void {
    const step = this.#step;
    const simple = this.#kind === 'simple';
    const afterAnother = simple && (step === Step.nothing || step === Step.ended);
    if (this.#kind !== 'custom' && !afterAnother && step !== Step.described && step !== Step.copied) {
      throw outOfOrder(COMMAND_COMPLETE);
    }
    if (this.#byRules && !mayHaveRules(bytes[start + HEADER_BYTES] as number)) throw outOfOrder(ROW_DESCRIPTION);
    this.#byRules = false;
    if (this.#columns !== NO_ROWS) checkRowCount(bytes, start + HEADER_BYTES, end - 1, this.#rows);
    this.#columns = NO_ROWS;
    this.#step = Step.ended;
  }

  #ready(): void {
    if (this.#kind !== 'custom' && this.#step !== Step.ended && this.#step !== Step.failed) {
      throw outOfOrder(READY_FOR_QUERY);
    }
    this.#step = Step.nothing;
    this.#columns = NO_ROWS;
  }
}

/** Whether a tag with this first letter may be of a statement with rules: `DELETE`, `INSERT`, `UPDATE`. */
function mayHaveRules(letter: number): boolean {
  return letter === 0x44 || letter === 0x49 || letter === 0x55;
}
