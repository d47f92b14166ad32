import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { Dispatcher } from 'undici';
import { Exchange } from './exchange.js';
import type { ExchangeHost, ExchangePolicy } from './exchange-host.js';
import { LegacyHandler, type LegacyDispatchHandler } from './legacy-handler.js';
import type { Origin } from './origin.js';
import { parseTarget, plainTarget, withQuery, type Target, type WireRequest } from './request.js';

/** Sends a request that came in undici's form. */
export type DispatchExchange = (
  target: Target,
  options: Dispatcher.DispatchOptions,
  handler: Dispatcher.DispatchHandler,
  signal: AbortSignal | undefined,
) => void;

/** Closes the client that a dispatcher belongs to. */
export type CloseClient = (deadlineMs?: number) => Promise<unknown>;

/**
 * An undici `Dispatcher` with a client's limits, deadlines and statistics, for anything that takes one. Redirects,
 * retries and decoding are left to whoever dispatches; only a request whose kept socket had died is sent again.
 */
export class HttpDispatcher extends Dispatcher {
  readonly #exchange: DispatchExchange;
  readonly #close: CloseClient;
  readonly #signal: AbortSignal | undefined;

  constructor(exchange: DispatchExchange, close: CloseClient, signal?: AbortSignal) {
    super();
    this.#exchange = exchange;
    this.#close = close;
    this.#signal = signal;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const own =
      handler.onRequestStart === undefined ? new LegacyHandler(handler as unknown as LegacyDispatchHandler) : handler;
    try {
      const path = options.query === undefined ? options.path : withQuery(options.path, options.query);
      const url = path.startsWith('/') ? `${String(options.origin).replace(/\/$/, '')}${path}` : path;
      this.#exchange(plainTarget(url) ?? parseTarget(url), options, own, this.#signal);
    } catch (error) {
      own.onResponseError?.(NEVER_STARTED, error as Error);
    }
    return true;
  }

  override close(callback?: () => void): Promise<void> & void {
    return settled(this.#close(), callback);
  }

  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> & void {
    return settled(this.#close(0), typeof error === 'function' ? error : callback);
  }
}

/** undici's overloads promise both at once. */
function settled(closing: Promise<unknown>, callback: (() => void) | undefined): Promise<void> & void {
  const done = closing.then(() => callback?.());
  return done as Promise<void> & void;
}

/** What a handler gets of a request that ended before it was started. */
const NEVER_STARTED: Dispatcher.DispatchController = {
  aborted: true,
  paused: false,
  reason: null,
  abort: () => {},
  pause: () => {},
  resume: () => {},
};

/** An exchange on behalf of another handler, which gets everything as it comes. */
export class DispatchedExchange extends Exchange {
  readonly #handler: Dispatcher.DispatchHandler;
  /** The controller that the handler knows; the exchange's own is gone once its connection is given back. */
  #known: Dispatcher.DispatchController = NEVER_STARTED;

  constructor(
    host: ExchangeHost,
    origin: Origin,
    request: WireRequest,
    policy: ExchangePolicy,
    handler: Dispatcher.DispatchHandler,
  ) {
    super(host, origin, request, policy);
    this.#handler = handler;
  }

  override onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    super.onRequestStart(controller, context);
    if (this.controller === undefined) return;
    this.#known = controller;
    this.#handler.onRequestStart?.(controller, context);
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    super.onResponseStart(controller, statusCode, headers, statusText);
    if (statusCode < 200) this.#handler.onResponseStart?.(controller, statusCode, headers, statusText);
  }

  override onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.handOver(statusCode, socket);
    this.#handler.onRequestUpgrade?.(controller, statusCode, headers, socket);
  }

  protected override get delivered(): boolean {
    return this.statusCode !== 0;
  }

  protected override answered(headers: IncomingHttpHeaders, statusText: string | undefined): void {
    this.#handler.onResponseStart?.(this.#known, this.statusCode, headers, statusText);
  }

  protected override receivedBody(chunk: Buffer): void {
    this.#handler.onResponseData?.(this.#known, chunk);
  }

  protected override ended(trailers: IncomingHttpHeaders): void {
    this.#handler.onResponseEnd?.(this.#known, trailers);
  }

  protected override failed(error: unknown): void {
    const reason = error instanceof Error ? error : new Error('aborted', { cause: error });
    this.#handler.onResponseError?.(this.#known, reason);
  }
}
