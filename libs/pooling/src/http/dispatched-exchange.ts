import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { Exchange } from './exchange.js';
import type { ExchangeHost, ExchangePolicy } from './exchange-host.js';
import { NEVER_STARTED } from './never-started.js';
import type { Origin } from './origin.js';
import type { WireRequest } from './request.js';

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
