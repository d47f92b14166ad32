import type { BodyWatch } from './body-watch.js';
import { DispatchedExchange } from './dispatched-exchange.js';

/** What undici cancels a body with whose `Response` was collected unread; the constant is in its `fetch`. */
const COLLECTED = 'Response object has been garbage collected';

/** An exchange for `fetch()`: a body that nobody reads is reported, as a streamed one is. */
export class FetchedExchange extends DispatchedExchange {
  watch: BodyWatch | undefined = undefined;
  /** Whether the present pause was reported. */
  #reported = false;

  override get unreadAfterMs(): number {
    return this.#reported || this.watch === undefined ? 0 : this.watch.afterMs;
  }

  protected override receivedBody(chunk: Buffer): void {
    this.#goesOn();
    super.receivedBody(chunk);
    if (!this.#isPaused) return;
    this.unreadSince = this.lastReadAt;
    this.rearm(this.lastReadAt);
  }

  protected override unread(forMs: number): void {
    if (this.#isPaused) {
      this.#reported = true;
      return this.#report(forMs);
    }
    // The consumer went on: the exchange waits for the server now.
    this.#goesOn();
    this.lastReadAt = this.host.clock.now();
  }

  protected override failed(error: unknown): void {
    const { message, cause } = error instanceof Error ? error : new Error(String(error));
    if (message === COLLECTED || cause === COLLECTED) this.#report(undefined);
    super.failed(error);
  }

  get #isPaused(): boolean {
    return this.controller?.paused === true;
  }

  #goesOn(): void {
    this.unreadSince = Infinity;
    this.#reported = false;
  }

  #report(unreadMs: number | undefined): void {
    this.watch?.report(this.host, this.origin, this.request, unreadMs);
  }
}
