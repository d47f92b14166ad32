import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { SendingHandler } from './sending-handler.js';
import { headerLines } from '../message/answer-headers.js';

/** The handler that undici's own `request()` and `fetch()` still dispatch in version 7; version 8 has no such thing. */
export interface LegacyDispatchHandler extends SendingHandler {
  onConnect?(abort: (error?: Error) => void, context: unknown): void;
  onHeaders?(statusCode: number, rawHeaders: Buffer[], resume: () => void, statusText: string): boolean | void;
  onData?(chunk: Buffer): boolean | void;
  onComplete?(rawTrailers: Buffer[]): void;
  onError?(error: Error): void;
  onUpgrade?(statusCode: number, rawHeaders: Buffer[], socket: Duplex): void;
}

/** A legacy handler behind the interface that both versions of undici know. */
export class LegacyHandler implements Dispatcher.DispatchHandler {
  readonly #handler: LegacyDispatchHandler;
  /** `undefined` where the handler hasn't it: calling it costs. */
  readonly onBodySent: ((chunk: unknown) => void) | undefined;
  readonly onRequestSent: (() => void) | undefined;

  constructor(handler: LegacyDispatchHandler) {
    this.#handler = handler;
    this.onBodySent = handler.onBodySent === undefined ? undefined : (chunk) => handler.onBodySent?.(chunk);
    this.onRequestSent = handler.onRequestSent === undefined ? undefined : () => handler.onRequestSent?.();
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    // Without a reason undici makes its own `RequestAbortedError`, which callers know.
    this.#handler.onConnect?.((error) => controller.abort(error as Error), context);
  }

  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.#handler.onUpgrade?.(statusCode, rawHeaders(headers), socket);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    statusText = '',
  ): void {
    const resume = (): void => controller.resume();
    if (this.#handler.onHeaders?.(statusCode, rawHeaders(headers), resume, statusText) === false) controller.pause();
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#handler.onData?.(chunk) === false) controller.pause();
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#handler.onComplete?.(rawHeaders(trailers));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#handler.onError?.(error);
  }
}

function rawHeaders(headers: IncomingHttpHeaders): Buffer[] {
  const raw: Buffer[] = [];
  for (const name of Object.keys(headers)) {
    for (const value of headerLines(headers, name)) raw.push(Buffer.from(name, 'latin1'), Buffer.from(value, 'latin1'));
  }
  return raw;
}
