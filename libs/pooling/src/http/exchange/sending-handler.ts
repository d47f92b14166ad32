import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { undici } from '../undici.js';

/** The callbacks of a handler for what goes out, and for the first byte that comes in; not in undici 7's types. */
export interface SendingHandler {
  /** A piece of the body was written. */
  onBodySent?(chunk: unknown): void;
  /** The request was written to its end. */
  onRequestSent?(): void;
  /** The first byte of the answer has come. */
  onResponseStarted?(): void;
}

/** A controller as undici 7 makes it for a new handler. */
class SendingController implements Dispatcher.DispatchController {
  readonly #abort: (reason: Error) => void;
  resumeWith: (() => void) | undefined = undefined;
  paused = false;
  aborted = false;
  reason: Error | null = null;

  constructor(abort: (reason: Error) => void) {
    this.#abort = abort;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.resumeWith?.();
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.#abort(reason);
  }
}

/**
 * A new handler as undici 7 takes an old one: undici 7 tells only old ones what was sent; undici 8 tells new ones itself.
 */
export class SendingAdapter {
  readonly #handler: Required<Dispatcher.DispatchHandler>;
  readonly #sending: SendingHandler;
  #controller: SendingController | undefined = undefined;

  /** Both are the same object: undici's types say different things of it in each version. */
  constructor(handler: Dispatcher.DispatchHandler, sending: SendingHandler) {
    this.#handler = handler as Required<Dispatcher.DispatchHandler>;
    this.#sending = sending;
  }

  onConnect(abort: (reason: Error) => void, context: unknown): void {
    this.#controller = new SendingController(abort);
    this.#handler.onRequestStart(this.#controller, context);
  }

  onBodySent(chunk: unknown): void {
    this.#sending.onBodySent?.(chunk);
  }

  onRequestSent(): void {
    this.#sending.onRequestSent?.();
  }

  onResponseStarted(): void {
    this.#sending.onResponseStarted?.();
  }

  onUpgrade(statusCode: number, headers: Buffer[], socket: Duplex): void {
    this.#handler.onRequestUpgrade(this.#known, statusCode, undici.util.parseHeaders(headers), socket);
  }

  onHeaders(statusCode: number, headers: Buffer[], resume: () => void, statusText: string): boolean {
    this.#known.resumeWith = resume;
    this.#handler.onResponseStart(this.#known, statusCode, undici.util.parseHeaders(headers), statusText);
    return !this.#known.paused;
  }

  onData(chunk: Buffer): boolean {
    this.#handler.onResponseData(this.#known, chunk);
    return !this.#known.paused;
  }

  onComplete(trailers: Buffer[]): void {
    this.#handler.onResponseEnd(this.#known, undici.util.parseHeaders(trailers));
  }

  onError(error: Error): void {
    this.#handler.onResponseError(this.#controller as SendingController, error);
  }

  get #known(): SendingController {
    return this.#controller as SendingController;
  }
}
