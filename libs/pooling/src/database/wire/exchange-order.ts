import { malformed, outOfOrder } from './protocol-error.js';
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
  NO_DATA,
  PARSE_COMPLETE,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
} from './server-message.js';

/** The steps of the answer to one use of a prepared statement, by what may come next. */
export const UNSENT = 0;
/** `ParseComplete`. */
export const PARSING = 1;
/** `BindComplete`. */
export const BINDING = 2;
/** `RowDescription` or `NoData`. */
export const DESCRIBING = 3;
/** Rows, and the end. */
export const ROWS = 4;
/** No rows: the end, or the beginning of a `COPY`. */
export const NO_ROWS = 5;
export const COPYING = 6;
export const COPIED = 7;
/** `ReadyForQuery`, or an error at the end of its transaction. */
export const ENDED = 8;
/** `ReadyForQuery`. */
export const FAILED = 9;
/** The end of a command without parameters and rows. */
export const COMMANDING = 10;

/** How far a use is answered. */
export type ExchangeStep = typeof UNSENT | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;

/** What the step after `BindComplete` depends on. */
export interface Exchange {
  step: ExchangeStep;
  /** The shape of the rows. `null`: there are none. `undefined`: the server was asked for it. */
  readonly shape: unknown;
}

/**
 * The step that a message leads to; throws when it may not come. For each use exactly: `ParseComplete` if it was
 * prepared, `BindComplete`, what its rows look like if that was asked, rows if there are any, one end, one `ReadyForQuery`.
 */
export function nextStep(exchange: Exchange, type: number, start: number, end: number): ExchangeStep {
  const { step } = exchange;
  switch (type) {
    case DATA_ROW:
      if (step === ROWS) return ROWS;
      break;
    case BIND_COMPLETE:
      if (step !== BINDING) break;
      return empty(
        type,
        start,
        end,
        exchange.shape === undefined ? DESCRIBING : exchange.shape === null ? NO_ROWS : ROWS,
      );
    case COMMAND_COMPLETE:
      if (step === ROWS || step === NO_ROWS || step === COPIED || step === COMMANDING) return ENDED;
      break;
    case READY_FOR_QUERY:
      if (step === ENDED || step === FAILED) return UNSENT;
      break;
    case PARSE_COMPLETE:
      if (step === PARSING) return empty(type, start, end, BINDING);
      break;
    case CLOSE_COMPLETE:
      // The closing of a dropped statement, or of a cursor that has failed before: no query waits for it.
      if (step === PARSING || step === BINDING || step === COMMANDING) return empty(type, start, end, step);
      break;
    case ROW_DESCRIPTION:
      if (step === DESCRIBING) return ROWS;
      break;
    case NO_DATA:
      if (step === DESCRIBING) return empty(type, start, end, NO_ROWS);
      break;
    case EMPTY_QUERY:
      if (step === NO_ROWS) return empty(type, start, end, ENDED);
      break;
    case ERROR:
      if (step !== UNSENT && step !== FAILED) return FAILED;
      break;
    case COPY_IN:
    case COPY_OUT:
      if (step === NO_ROWS) return COPYING;
      break;
    case COPY_DATA:
      if (step === COPYING) return COPYING;
      break;
    case COPY_DONE:
      if (step === COPYING) return empty(type, start, end, COPIED);
      break;
    default:
  }
  throw outOfOrder(type);
}

/** The step after a message without contents. */
function empty(type: number, start: number, end: number, next: ExchangeStep): ExchangeStep {
  if (end - start !== HEADER_BYTES) throw malformed(type);
  return next;
}
