import type { FieldDef } from 'pg';
import { SharedLease, type Lease } from '../../core/lease.js';
import type { PreparedStatement } from '../query/connection-statements.js';
import type { QueryOutcome } from '../query/query-forms.js';
import type { PlanTurn } from '../query/plan-watch.js';
import type { WireText } from '../query/unnamed-text.js';
import { Statement, type StatementOwner } from '../query/statement.js';
import { UNSENT, type ExchangeStep } from './exchange-order.js';
import type { Failure } from './failed-statement.js';
import type { WireValue } from './message-writer.js';
import type { PlaceInTransaction } from './place-in-transaction.js';
import type { Row, RowShape } from './row-shape.js';

/** `SELECT 3`, `UPDATE 3`, `INSERT 0 3`, `CREATE TABLE`. */
const COMMAND_TAG = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/;

/** What a tag tells. */
interface Outcome {
  readonly command: string;
  readonly rowCount: number | null;
}

/** Most tags are the same as the last one. */
let lastTag = '';
let lastOutcome: Outcome = { command: '', rowCount: null };

function outcomeOf(tag: string): Outcome {
  if (tag === lastTag) return lastOutcome;
  const match = COMMAND_TAG.exec(tag);
  const count = match?.[3] ?? match?.[2];
  lastTag = tag;
  lastOutcome = { command: match?.[1] ?? '', rowCount: count === undefined ? null : Number(count) };
  return lastOutcome;
}

/** Reads the answer of a query: the wire of its connection. */
export interface WireQueryReader {
  /** It is the query's turn. */
  begin(query: WireQuery): void;
  /** The connection is lost. */
  lost(query: WireQuery, error: Error): void;
  /** The server is ready for the next query. */
  handedBack(): void;
  /** The query that the server works on. */
  readonly head: WireQuery | undefined;
}

/**
 * One use of a statement on the wire: what is sent, what has come back, and who waits for it. To `pg.Client` it is a query
 * like any other, but its answer goes to its reader, the wire, and not through pg.
 */
export class WireQuery extends Statement {
  readonly prepared: WireText;
  readonly values: readonly WireValue[];
  /** Its place in a transaction whose `BEGIN` left with the first statement. */
  readonly place: PlaceInTransaction | undefined;
  /** The kind of plan it gets in a comparison of plans. */
  turn: PlanTurn | undefined = undefined;
  /** Its prepared statement on the connection. */
  statement: PreparedStatement | undefined = undefined;
  /** How far it is answered. */
  step: ExchangeStep = UNSENT;
  shape: RowShape | null | undefined = undefined;
  rows: Row[] = [];
  tag = '';
  /** The server's error, or what a parser threw. */
  error: Error | undefined = undefined;
  /** Whether the server had prepared the text, and bound the parameters: before that it has done nothing. */
  parsed = false;
  bound = false;
  /** Whether its statement was prepared by an earlier query. */
  reused = false;
  /** The error after which it was sent once more, to be parsed again. */
  firstError: Error | undefined = undefined;
  firstFailure: Failure | undefined = undefined;
  readonly #wire: WireQueryReader;

  constructor(
    wire: WireQueryReader,
    owner: StatementOwner,
    lease: Lease<unknown> | undefined,
    prepared: WireText,
    values: readonly WireValue[],
    timeoutMs: number,
    callback: QueryOutcome,
    place?: PlaceInTransaction,
  ) {
    super(owner, lease, prepared.text, timeoutMs, callback);
    this.#wire = wire;
    this.prepared = prepared;
    this.values = values;
    this.place = place;
  }

  /** Whether others may run on the same connection at the same time. */
  get shared(): boolean {
    return this.lease instanceof SharedLease;
  }

  /** Whether the server works on it now. */
  get isFirst(): boolean {
    return this.#wire.head === this;
  }

  /** Whether it may be sent while others are under way. */
  get joins(): boolean {
    return this.place !== undefined || this.shared;
  }

  /** The number of this use of its statement on the connection; `undefined`: it had a custom plan. */
  get use(): number | undefined {
    return this.statement?.uses;
  }

  /** The columns, for the caller. */
  get fields(): FieldDef[] {
    return this.shape?.fields ?? [];
  }

  /** `SELECT`, `INSERT`, …. */
  get command(): string {
    return outcomeOf(this.tag).command;
  }

  /** How many rows were read or changed; `null` where the command doesn't tell. */
  get rowCount(): number | null {
    return outcomeOf(this.tag).rowCount;
  }

  /** Forgets all that has come back except the error, so that it can be sent once more. */
  runAgain(): void {
    this.firstError = this.error;
    this.forgetSending();
  }

  /** Takes it back to the state before it was sent. */
  forgetSending(): void {
    this.statement = undefined;
    this.turn = undefined;
    this.sentAt = Infinity;
    this.step = UNSENT;
    this.shape = undefined;
    this.rows = [];
    this.tag = '';
    this.error = undefined;
    this.parsed = false;
    this.bound = false;
    this.reused = false;
  }

  /** @internal `pg.Client` tells that it is this query's turn. */
  submit(): null {
    this.#wire.begin(this);
    return null;
  }

  /** @internal `pg.Client` tells that the connection is lost. */
  handleError(error: Error): void {
    this.#wire.lost(this, error);
  }

  /** @internal `pg.Client` has been told that the server is ready, and is so itself now. */
  handleReadyForQuery(): void {
    this.#wire.handedBack();
  }
}
