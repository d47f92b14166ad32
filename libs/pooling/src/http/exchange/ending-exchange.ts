import type { IncomingHttpHeaders } from 'node:http';
import { warnOfThrow } from '../pool/refusals.js';
import type { HttpOutcome } from '../pool/statistics.js';
import { TimedExchange } from './timed-exchange.js';
import type { TracedTries } from './traced-tries.js';

/**
 * The end of an exchange: it ends exactly once, and tells its caller. An error that a callback throws ends the exchange at any
 * moment.
 */
export abstract class EndingExchange extends TimedExchange {
  statusCode = 0;
  /** Traces of its tries; `undefined`: nobody listens. */
  protected tries: TracedTries | undefined = undefined;
  /** The exchange above the interceptors for which this one acts. */
  #actsFor: EndingExchange | undefined = undefined;
  /** Whether the subclass was told that there is no answer, or no more of it. */
  #toldFailure = false;

  /** It is complete. */
  protected abstract ended(trailers: IncomingHttpHeaders): void;
  /** There is none, or no more of it. */
  protected abstract failed(error: unknown): void;
  /** Releases everything that the exchange still holds. */
  protected abstract cleanUp(): void;

  /** This exchange, below the interceptors, acts for one above them. */
  protected actFor(above: EndingExchange): void {
    this.#actsFor = above;
  }

  protected complete(trailers: IncomingHttpHeaders, now: number): void {
    this.settle(undefined, this.statusCode, now);
    try {
      this.ended(trailers);
    } catch (error) {
      this.threw(error);
    }
  }

  /** A callback threw: the caller is told, even if the exchange itself has ended. */
  protected threw(error: unknown): void {
    if (this.phase !== 'done') this.fail(error);
    else if (!this.#toldFailure) this.#tellFailure(error);
    else warnOfThrow(this.host.name, error);
  }

  #tellFailure(error: unknown): void {
    this.#toldFailure = true;
    try {
      this.failed(error);
    } catch (thrown) {
      // The caller can't be told: only the exchange above the interceptors is left.
      const above = this.#actsFor;
      if (above !== undefined && above.phase !== 'done') above.fail(thrown);
      else warnOfThrow(this.host.name, thrown);
    }
  }

  protected settle(error: unknown, outcome: HttpOutcome, now = this.host.clock.now()): void {
    const { host, policy, request } = this;
    this.phase = 'done';
    this.disarm();
    this.tries?.ends(error);
    this.cleanUp();
    if (policy.composed === undefined) {
      this.origin.counters.finished(request.method, outcome, now - this.startedAt, this.tries?.caller);
      host.events.finished(this, outcome, now - this.startedAt);
    }
    if (typeof outcome !== 'number') this.#tellFailure(error);
  }
}
