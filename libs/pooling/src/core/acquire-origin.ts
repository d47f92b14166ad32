import type { CallTrace } from './call-trace.js';
import type { SpanRef } from './span-sink.js';

/** Where a transaction was begun: made out only when somebody looks. */
export interface TransactionOrigin {
  /** The decorated method, or the code position; `undefined`: that isn't known. */
  readonly begunBy: string | undefined;
}

/** Who acquires: captured when the acquire is made. */
export interface AcquireOrigin {
  /** The stack, when leak detection is on; formatted only when somebody looks. */
  readonly trace: CallTrace | undefined;
  /** On whose behalf, where that is known: a controller's handler. */
  readonly label: string | undefined;
  /** The span that was active and recorded, where there is a tracer. */
  readonly span: SpanRef | undefined;
  /** The transaction that it is for, where that travels with its request. */
  readonly transaction?: TransactionOrigin | undefined;
}
