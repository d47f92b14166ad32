import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { Clock } from '../../core/clock.js';
import type { ResolvedHttpRetry } from '../options.js';
import type { Origin } from '../pool/origin.js';
import { redirected } from './redirect.js';
import type { WireRequest } from '../message/request.js';
import { backoffMs, isIdempotent } from './retry.js';

/** A request is sent again at most this often because its kept socket had died. */
const MAX_REPLAYS = 3;
/** The same when the server refuses it unprocessed. More often, because the request queues again before each one. */
const MAX_REFUSALS = 10;

/** What a retry is decided on. */
export interface Retried {
  readonly request: WireRequest;
  readonly origin: Origin;
  /** The total deadline, on the clock's scale. */
  readonly totalAt: number;
}

/** Counts the attempts of one exchange and decides whether there is another. */
export class Attempts {
  #retries = 0;
  #replays = 0;
  #redirects = 0;

  /**
   * When to try again, in milliseconds; `undefined`: not at all, because of the policy, the deadline or the budget.
   * Takes from the budget.
   */
  retryDelay(
    { request, origin, totalAt }: Retried,
    retry: ResolvedHttpRetry,
    atLeastMs: number,
    { clock, random }: { readonly clock: Clock; readonly random: () => number },
  ): number | undefined {
    if (this.#retries >= retry.attempts || !request.replayable) return undefined;
    if (!retry.methods.includes(request.method) && !request.hasIdempotencyKey) return undefined;
    const delayMs = backoffMs(this.#retries + 1, atLeastMs, random());
    if (clock.now() + delayMs >= totalAt || !origin.counters.retryBudget.take(retry)) return undefined;
    this.#retries++;
    origin.counters.retries++;
    return delayMs;
  }

  /**
   * Whether a request is sent again because its kept socket had died. `sent`: a part of it may have reached the server.
   * `refused`: the server says that it has processed nothing of it.
   */
  replay(request: WireRequest, sent: boolean, refused = false): boolean {
    const { body } = request;
    const begun = body instanceof Readable && (body.destroyed || (refused && body.readableDidRead));
    const intact = request.replayable || ((!sent || refused) && !begun);
    if (!intact || this.#replays >= (refused ? MAX_REFUSALS : MAX_REPLAYS)) return false;
    if (sent && !refused && !isIdempotent(request.method, request.hasIdempotencyKey)) return false;
    this.#replays++;
    return true;
  }

  /** The request that follows a redirect; `undefined`: none does. */
  redirect(
    request: WireRequest,
    statusCode: number,
    headers: IncomingHttpHeaders,
    max: number,
  ): WireRequest | undefined {
    if (this.#redirects >= max) return undefined;
    const next = redirected(request, statusCode, headers);
    if (next !== undefined) this.#redirects++;
    return next;
  }
}
