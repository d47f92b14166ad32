import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { Exchange } from './exchange.js';
import type { ExchangeHost, ExchangePolicy } from './exchange-host.js';
import { NEVER_STARTED } from './never-started.js';
import { SendingAdapter, type SendingHandler } from './sending-handler.js';
import { UNDICI_MAJOR } from '../undici.js';
import type { Origin } from '../pool/origin.js';
import type { WireRequest } from '../message/request.js';

/**
 * An exchange for a handler of `dispatch()`, which gets everything as it comes, in the context of its own request. When the
 * handler throws in a callback, it gets the error in `onResponseError`, as with undici's own agents.
 */
export class DispatchedExchange extends Exchange {
  readonly #handler: Dispatcher.DispatchHandler;
  /** The same handler, with callbacks that not every version of undici has in its types. */
  readonly #sending: SendingHandler;
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
    this.#sending = handler as unknown as SendingHandler;
  }

  override onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.handOver(statusCode, socket, () =>
      this.context.runInAsyncScope(() => this.#handler.onRequestUpgrade?.(controller, statusCode, headers, socket)),
    );
  }

  onBodySent(chunk: unknown): void {
    const handler = this.#sending;
    if (handler.onBodySent !== undefined) this.#forward(() => handler.onBodySent?.(chunk));
  }

  onRequestSent(): void {
    const handler = this.#sending;
    if (handler.onRequestSent !== undefined) this.#forward(() => handler.onRequestSent?.());
  }

  onResponseStarted(): void {
    const handler = this.#sending;
    if (handler.onResponseStarted !== undefined) this.#forward(() => handler.onResponseStarted?.());
  }

  #forward(tell: () => void): void {
    if (this.phase === 'done') return;
    try {
      this.context.runInAsyncScope(tell);
    } catch (error) {
      this.threw(error);
    }
  }

  protected override get receiver(): Dispatcher.DispatchHandler {
    const { onBodySent, onRequestSent } = this.#sending;
    if (UNDICI_MAJOR >= 8 || (onBodySent === undefined && onRequestSent === undefined)) return this;
    return new SendingAdapter(this, this) as unknown as Dispatcher.DispatchHandler;
  }

  protected override get lendsBody(): boolean {
    return true;
  }

  protected override get delivered(): boolean {
    return this.statusCode !== 0;
  }

  protected override started(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#known = controller;
    this.context.runInAsyncScope(() => this.#handler.onRequestStart?.(controller, context));
  }

  protected override informed(statusCode: number, headers: IncomingHttpHeaders, statusText: string | undefined): void {
    this.context.runInAsyncScope(() => this.#handler.onResponseStart?.(this.#known, statusCode, headers, statusText));
  }

  protected override answered(headers: IncomingHttpHeaders, statusText: string | undefined): void {
    this.informed(this.statusCode, headers, statusText);
  }

  protected override receivedBody(chunk: Buffer): void {
    this.context.runInAsyncScope(() => this.#handler.onResponseData?.(this.#known, chunk));
  }

  protected override ended(trailers: IncomingHttpHeaders): void {
    this.context.runInAsyncScope(() => this.#handler.onResponseEnd?.(this.#known, trailers));
  }

  protected override failed(error: unknown): void {
    const reason = error instanceof Error ? error : new Error('aborted', { cause: error });
    this.context.runInAsyncScope(() => this.#handler.onResponseError?.(this.#known, reason));
  }
}
