import type { CallTrace } from './call-trace.js';
import type { SpanRef } from './span-sink.js';

/** Who acquires: captured when the acquire is made. */
export interface AcquireOrigin {
  /** The stack, when leak detection is on; formatted only when somebody looks. */
  readonly trace: CallTrace | undefined;
  /** On whose behalf, where that is known: a controller's handler. */
  readonly label: string | undefined;
  /** The span that was active and recorded, where there is a tracer. */
  readonly span: SpanRef | undefined;
}
