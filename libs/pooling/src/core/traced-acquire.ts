import type { SpanRef, SpanSink } from './span-sink.js';
import { Traced } from './traced.js';
import { acquireOperations, type AcquireOperation, type AcquireReason } from './tracing-channels.js';

/** Whoever holds a connection that others wait for. */
export interface ConnectionHolder {
  readonly label: string | undefined;
  readonly span: SpanRef | undefined;
}

/** What an acquire is about. */
export interface WaitingAcquire {
  readonly kind: 'database' | 'http';
  readonly pool: string;
  readonly reason: AcquireReason;
  readonly holder?: ConnectionHolder | undefined;
  readonly origin?: string;
}

/** An acquire that waits, as tracers see it. */
export class TracedAcquire extends Traced implements AcquireOperation {
  readonly kind: 'database' | 'http';
  reason: AcquireReason;
  readonly heldBy: string | undefined;
  readonly origin: string | undefined;

  private constructor({ kind, pool, reason, holder, origin }: WaitingAcquire) {
    super(acquireOperations, pool);
    this.kind = kind;
    this.reason = reason;
    this.heldBy = holder?.label;
    this.origin = origin;
  }

  /** It begins to wait now; `sink`: of a tracer that listens to it. */
  static begin(sink: SpanSink | undefined, waiting: WaitingAcquire): TracedAcquire {
    const acquire = new TracedAcquire(waiting);
    acquire.span = sink?.acquire(acquire, waiting.holder?.span);
    acquire.begin(() => {});
    return acquire;
  }

  /** It has a connection, or an error. */
  end(error?: unknown): void {
    this.finish(error);
  }
}
