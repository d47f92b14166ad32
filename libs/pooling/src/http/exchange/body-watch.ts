import { traceAbove, type CallTrace } from '../../core/call-trace.js';
import type { WireRequest } from '../message/request.js';
import { shownRequestUrl } from '../message/shown-url.js';
import type { Origin } from '../pool/origin.js';
import { warnOfThrow } from '../pool/refusals.js';
import type { ExchangeHost } from './exchange-host.js';

/** A streamed answer that holds a connection while nobody reads it. */
export interface HttpLeakReport {
  readonly client: string;
  readonly method: string;
  /** Without its query, and 200 characters at most. */
  readonly url: string;
  /** For how long nobody has read, in milliseconds; `undefined` when the body was dropped and collected. */
  readonly unreadMs: number | undefined;
  /** Where the request was made. */
  readonly stack: string;
}

/** How the bodies of streamed answers are watched. */
export interface LeakWatching {
  /** 0: off. */
  readonly afterMs: number;
  readonly report: (report: HttpLeakReport) => void;
}

/** Frames of the stack that a report shows. */
const TRACE_FRAMES = 20;

/** Watches the body of one answer, and knows where it was asked for. */
export class BodyWatch {
  readonly #leaks: LeakWatching;
  readonly #trace: CallTrace;

  private constructor(leaks: LeakWatching, trace: CallTrace) {
    this.#leaks = leaks;
    this.#trace = trace;
  }

  /** `undefined` where bodies aren't watched. @param running the function that the stack begins above. */
  static begin(leaks: LeakWatching, running: Parameters<typeof traceAbove>[0]): BodyWatch | undefined {
    return leaks.afterMs === 0 ? undefined : new BodyWatch(leaks, traceAbove(running, TRACE_FRAMES));
  }

  /** How long a body may stay unread, in milliseconds. */
  get afterMs(): number {
    return this.#leaks.afterMs;
  }

  /** Nobody has read for so long, or the body was collected (`undefined`). */
  report(
    { name, events }: Pick<ExchangeHost, 'name' | 'events'>,
    origin: Origin,
    request: WireRequest,
    unreadMs: number | undefined,
  ): void {
    origin.counters.leaks++;
    const stack = (this.#trace.stack ?? '').split('\n').slice(1).join('\n');
    const { method } = request;
    const report: HttpLeakReport = { client: name, method, url: shownRequestUrl(request), unreadMs, stack };
    events.leaked(origin, report);
    try {
      this.#leaks.report(report);
    } catch (error) {
      warnOfThrow(name, error);
    }
  }
}
