import { DispatchedExchange } from './dispatched-exchange.js';
import { shownRequestUrl } from '../message/shown-url.js';
import type { HttpLeakReport, LeakWatching } from './streamed-exchange.js';

/** Frames of the stack that a report shows. */
const TRACE_FRAMES = 20;
/** What undici cancels a body with whose `Response` was collected unread; the constant is in its `fetch`. */
const COLLECTED = 'Response object has been garbage collected';

/** How the body of a fetched answer is watched, and where it was asked for. */
export interface FetchWatching {
  readonly leaks: LeakWatching;
  readonly trace: { stack?: string };
}

/** Watches one `fetch`; `caller` is the function that the stack begins above. */
export function watchFetch(leaks: LeakWatching, caller: (...values: never[]) => unknown): FetchWatching | undefined {
  if (leaks.afterMs === 0) return undefined;
  const trace = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = TRACE_FRAMES;
  Error.captureStackTrace(trace, caller);
  Error.stackTraceLimit = limit;
  return { leaks, trace };
}

/** An exchange for `fetch()`: a body that nobody reads is reported, as a streamed one is. */
export class FetchedExchange extends DispatchedExchange {
  watching: FetchWatching | undefined = undefined;
  /** Whether the present pause was reported. */
  #reported = false;

  override get unreadAfterMs(): number {
    return this.#reported || this.watching === undefined ? 0 : this.watching.leaks.afterMs;
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
    // The consumer went on meanwhile: it is the server who is waited for.
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
    if (this.watching === undefined) return;
    const { leaks, trace } = this.watching;
    const { method } = this.request;
    this.origin.counters.leaks++;
    const stack = (trace.stack ?? '').split('\n').slice(1).join('\n');
    const url = shownRequestUrl(this.request);
    const report: HttpLeakReport = { client: this.host.name, method, url, unreadMs, stack };
    this.host.events.leaked(this.origin, report);
    leaks.report(report);
  }
}
