import { rethrow } from './rethrow.js';
import type { OpenSpan } from './span-sink.js';
import type { OperationChannel, TracedOperation } from './tracing-channels.js';

/**
 * One operation as tracers see it: its message on a channel, and its span. Made only when somebody listens. Begins once
 * and ends once, whatever happens in between.
 */
export abstract class Traced implements TracedOperation {
  error: unknown = undefined;
  readonly pool: string;
  /** Its span, where there is one: for what belongs into it. */
  span: OpenSpan | undefined = undefined;
  readonly #channel: OperationChannel<TracedOperation>;
  #ended = false;

  protected constructor(channel: OperationChannel<never>, pool: string) {
    this.#channel = channel;
    this.pool = pool;
  }

  /** Begins it: `run` starts what the operation does, in the stores that listeners have bound to the channel. */
  begin<Result>(run: () => Result): Result {
    const channel = this.#channel;
    if (!channel.hasSubscribers) return run();
    return channel.start.runStores(this, () => {
      try {
        return run();
      } finally {
        channel.end.publish(this);
      }
    });
  }

  /** Something happens in it now. */
  event(name: string): void {
    this.#tell((span) => span.event(name));
  }

  /** What a tracer throws is thrown in a later turn: what it listens to goes on all the same. */
  #tell(what: (span: OpenSpan) => void): void {
    if (this.span === undefined) return;
    try {
      what(this.span);
    } catch (thrown) {
      rethrow(thrown);
    }
  }

  /** Ends it; a second time does nothing. */
  protected finish(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error !== undefined) this.error = error;
    this.#tell((span) => span.end());
    const channel = this.#channel;
    if (!channel.hasSubscribers) return;
    if (error !== undefined) channel.error.publish(this);
    channel.asyncStart.publish(this);
    channel.asyncEnd.publish(this);
  }
}
