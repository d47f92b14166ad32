import type { IncomingHttpHeaders } from 'node:http';
import { Exchange } from './exchange.js';
import type { ExchangeHost, ExchangePolicy } from './exchange-host.js';
import { decodeBody, type ContentCoding } from '../message/decompress.js';
import type { Origin } from '../pool/origin.js';
import type { WireRequest } from '../message/request.js';
import { AskedResponse, isOk, statusError, type HttpResponse, type HttpResponsePromise } from '../message/response.js';

/** The form in which a caller wants the answer. */
type Wanted = 'response' | 'json' | 'text' | 'bytes';

/** Somebody who waits for the answer. */
interface Listener {
  readonly wanted: Wanted;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const NOTHING = Buffer.alloc(0);
/** A body that is kept in memory may be this large unless something else was said: 256 MiB. */
export const MAX_BUFFERED_BYTES = 268_435_456;

/**
 * An exchange whose answer is read to its end before the caller gets it. It is a promise itself, and makes a real one only for
 * the form that the caller asks for, so that `get(url).json()` costs one promise and not three.
 */
export class BufferedExchange extends Exchange implements HttpResponsePromise {
  #headers: IncomingHttpHeaders = {};
  #codings: readonly ContentCoding[] | undefined = undefined;
  #first: Buffer | undefined;
  #chunks: Buffer[] | undefined;
  #listener: Listener | undefined;
  #listeners: Listener[] | undefined;
  #response: HttpResponse | undefined;
  #error: { readonly reason: unknown } | undefined;
  #unheard: Promise<never> | undefined;

  constructor(
    host: ExchangeHost,
    origin: Origin,
    request: WireRequest,
    policy: ExchangePolicy,
    private readonly decompress: boolean,
  ) {
    super(host, origin, request, policy);
  }

  /** The promise of a request that failed before it could be sent, so that every error is a rejection. */
  static rejected(error: unknown): HttpResponsePromise {
    const rejected = Promise.reject<HttpResponse>(error);
    const same = <T>(): Promise<T> => rejected as Promise<never>;
    return Object.assign(rejected, { json: same, text: same<string>, bytes: same<Buffer> });
  }

  get [Symbol.toStringTag](): string {
    return 'Promise';
  }

  json<T = unknown>(): Promise<T> {
    return this.#as<T>('json');
  }

  text(): Promise<string> {
    return this.#as<string>('text');
  }

  bytes(): Promise<Buffer> {
    return this.#as<Buffer>('bytes');
  }

  // oxlint-disable-next-line unicorn/no-thenable -- it is a promise, made when somebody asks for it
  then<Result1 = HttpResponse, Result2 = never>(
    onFulfilled?: ((response: HttpResponse) => Result1 | PromiseLike<Result1>) | null,
    onRejected?: ((reason: unknown) => Result2 | PromiseLike<Result2>) | null,
  ): Promise<Result1 | Result2> {
    return this.#as<HttpResponse>('response').then(onFulfilled, onRejected);
  }

  catch<Result = never>(
    onRejected?: ((reason: unknown) => Result | PromiseLike<Result>) | null,
  ): Promise<HttpResponse | Result> {
    return this.#as<HttpResponse>('response').catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<HttpResponse> {
    return this.#as<HttpResponse>('response').finally(onFinally);
  }

  protected override get delivered(): boolean {
    return false;
  }

  protected override get decodes(): boolean {
    return this.decompress;
  }

  protected override get usualMaxBytes(): number {
    return MAX_BUFFERED_BYTES;
  }

  protected override answered(
    headers: IncomingHttpHeaders,
    _statusText: string | undefined,
    codings: readonly ContentCoding[] | undefined,
  ): void {
    this.#headers = headers;
    this.#codings = codings;
    this.#first = undefined;
    this.#chunks = undefined;
  }

  protected override receivedBody(chunk: Buffer): void {
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#chunks === undefined) this.#chunks = [this.#first, chunk];
    else this.#chunks.push(chunk);
  }

  protected override ended(): void {
    const body = this.#chunks === undefined ? (this.#first ?? NOTHING) : Buffer.concat(this.#chunks);
    this.#first = undefined;
    this.#chunks = undefined;
    const codings = this.#codings;
    if (codings === undefined || body.length === 0) return this.#succeed(body);
    decodeBody(this.host.name, body, codings, this.policy.maxResponseBytes ?? MAX_BUFFERED_BYTES).then(
      (decoded) => this.#succeed(decoded),
      (error: unknown) => this.failed(error),
    );
  }

  protected override failed(error: unknown): void {
    this.#error = { reason: error };
    const listeners = this.#takeListeners();
    // As with any promise: an error without a listener at the end of the tick is an unhandled rejection.
    if (listeners.length === 0) this.#unheard = Promise.reject(error);
    for (const listener of listeners) listener.reject(error);
  }

  #succeed(body: Buffer): void {
    const { method, origin, path } = this.request;
    const { statusCode } = this;
    this.#response = new AskedResponse(this.host.name, method, statusCode, this.#headers, `${origin}${path}`, body);
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener !== undefined) this.#answer(listener, this.#response);
    for (const each of this.#takeListeners()) this.#answer(each, this.#response);
  }

  #as<T>(wanted: Wanted): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const listener: Listener = { wanted, resolve: resolve as (value: unknown) => void, reject };
      if (this.#error !== undefined) {
        this.#unheard?.catch(() => {});
        reject(this.#error.reason);
      } else if (this.#response !== undefined) this.#answer(listener, this.#response);
      else if (this.#listener === undefined) this.#listener = listener;
      else (this.#listeners ??= []).push(listener);
    });
  }

  #takeListeners(): Listener[] {
    const listeners = this.#listeners ?? [];
    if (this.#listener !== undefined) listeners.unshift(this.#listener);
    this.#listener = undefined;
    this.#listeners = undefined;
    return listeners;
  }

  #answer(listener: Listener, response: HttpResponse): void {
    try {
      listener.resolve(this.#wanted(listener.wanted, response));
    } catch (error) {
      listener.reject(error);
    }
  }

  #wanted(wanted: Wanted, response: HttpResponse): unknown {
    if (wanted === 'response') return response;
    if (!isOk(response.statusCode)) {
      throw statusError(this.host.name, { method: this.request.method, url: response.url }, response);
    }
    if (wanted === 'bytes') return response.body;
    return wanted === 'text' ? response.text() : response.json();
  }
}
