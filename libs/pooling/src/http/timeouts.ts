import { HttpTimeoutError, type HttpTimeoutPhase } from '../core/errors.js';
import type { Exchange, ExchangeHost } from './exchange.js';

const WAITING_FOR = {
  new: 'a connection',
  waiting: 'a connection',
  connecting: 'the socket to open',
  sent: 'headers',
  reading: 'body',
  discarding: 'body',
  pausing: 'the next attempt',
  done: 'nothing',
} as const;

/** The error of an exchange that took too long: what it waited for, how long it was allowed to, and how full the client is. */
export function timeoutError(
  host: ExchangeHost,
  exchange: Exchange,
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
  const path = request.path.split('?', 1)[0] as string;
  const state = host.connector.describeLoad(origin);
  return new HttpTimeoutError(
    host.name,
    `${host.name}: ${request.method} ${request.origin}${path}: ${phase} time-out after ${allowedMs} ms, waiting for ${waitingFor} (${state})`,
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
