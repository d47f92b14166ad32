import { showText } from '../../core/shown-text.js';
import { HttpTimeoutError, type HttpTimeoutPhase } from '../../core/errors.js';
import type { Origin } from '../pool/origin.js';
import type { ExchangeHost, ExchangePhase } from './exchange-host.js';
import type { ResolvedHttpTimeouts } from '../options.js';
import type { WireRequest } from '../message/request.js';
import { shownRequestUrl } from '../message/shown-url.js';

const WAITING_FOR = {
  new: 'a connection',
  waiting: 'a connection',
  connecting: 'the socket to open',
  above: 'the interceptors',
  sent: 'headers',
  reading: 'body',
  discarding: 'body',
  pausing: 'the next attempt',
  done: 'nothing',
} as const;

/** The state by which the time-outs of an exchange are computed. Times are on the clock's scale. */
export interface Timed {
  readonly phase: ExchangePhase;
  readonly timeouts: ResolvedHttpTimeouts;
  /** When `totalMs` is over. */
  readonly totalAt: number;
  /** When the current attempt began. */
  readonly attemptAt: number;
  /** When the request was sent. */
  readonly sentAt: number;
  /** When something was read last, or the request was sent. */
  readonly lastReadAt: number;
  /** Since when the consumer reads nothing; `Infinity` while it reads. */
  readonly unreadSince: number;
  /** How long the consumer may read nothing before a leak is reported, in milliseconds; 0: never. */
  readonly unreadAfterMs: number;
}

/** What is overdue in an exchange: a phase, or a body that nobody reads. */
export type Overdue = HttpTimeoutPhase | 'unread';

/** What is overdue, if anything; the most specific phase first. */
export function overdueOf(timed: Timed, now: number): Overdue | undefined {
  const { phase, attemptAt, sentAt, lastReadAt, unreadSince, unreadAfterMs, totalAt } = timed;
  const { acquireMs, connectMs, headersMs, readMs } = timed.timeouts;
  const over = (since: number, ms: number): boolean => ms > 0 && now >= since + ms;
  if (phase === 'waiting' && over(attemptAt, acquireMs)) return 'acquire';
  if ((phase === 'waiting' || phase === 'connecting') && over(attemptAt, connectMs)) return 'connect';
  if (phase === 'sent' && (over(sentAt, headersMs) || over(lastReadAt, readMs))) return 'read';
  if (phase === 'reading' || phase === 'discarding') {
    if (unreadSince === Infinity && over(lastReadAt, readMs)) return 'read';
    if (unreadSince !== Infinity && over(unreadSince, unreadAfterMs)) return 'unread';
  }
  return now >= totalAt ? 'total' : undefined;
}

/** When the next thing is overdue; `Infinity`: never. */
export function nextDue(timed: Timed): number {
  const { phase, timeouts, totalAt } = timed;
  switch (phase) {
    case 'sent':
      return Math.min(totalAt, dueAt(timed.sentAt, timeouts.headersMs), dueAt(timed.lastReadAt, timeouts.readMs));
    case 'waiting':
      return Math.min(totalAt, dueAt(timed.attemptAt, timeouts.acquireMs), dueAt(timed.attemptAt, timeouts.connectMs));
    case 'connecting':
      return Math.min(totalAt, dueAt(timed.attemptAt, timeouts.connectMs));
    case 'reading':
    case 'discarding':
      if (timed.unreadSince === Infinity) return Math.min(totalAt, dueAt(timed.lastReadAt, timeouts.readMs));
      return Math.min(totalAt, dueAt(timed.unreadSince, timed.unreadAfterMs));
    default:
      return totalAt;
  }
}

function dueAt(since: number, ms: number): number {
  return ms === 0 ? Infinity : since + ms;
}

/** The error of an exchange that took too long: its phase, its limit, and the state of the client. */
export function timeoutError(
  host: ExchangeHost,
  exchange: Timed & { readonly origin: Origin; readonly request: WireRequest; readonly startedAt: number },
  phase: HttpTimeoutPhase,
  now: number,
): HttpTimeoutError {
  const { request, timeouts, origin } = exchange;
  const waitingFor = WAITING_FOR[exchange.phase];
  const allowedMs = {
    total: timeouts.totalMs,
    acquire: timeouts.acquireMs,
    connect: timeouts.connectMs,
    read: exchange.phase === 'sent' ? shorter(timeouts.headersMs, timeouts.readMs) : timeouts.readMs,
  }[phase];
  const url = shownRequestUrl(request);
  const state = host.pool.describeLoad(origin);
  return new HttpTimeoutError(
    host.name,
    `${host.name}: ${showText(request.method)} ${url}: ${phase} time-out after ${allowedMs} ms, waiting for ${waitingFor} (${state})`,
    phase,
    {
      details: {
        method: request.method,
        origin: request.origin,
        waitingFor,
        allowedMs,
        elapsedMs: now - exchange.startedAt,
      },
    },
  );
}

/** The shorter of two time-outs of which 0 means none. */
function shorter(one: number, other: number): number {
  return one === 0 || other === 0 ? one + other : Math.min(one, other);
}
