import type { AsyncResource } from 'node:async_hooks';
import type { SpanRef, SpanSink } from '../../core/span-sink.js';
import { TracedAcquire } from '../../core/traced-acquire.js';
import { acquireOperations, exchangeOperations } from '../../core/tracing-channels.js';
import type { WireRequest } from '../message/request.js';
import type { Origin } from '../pool/origin.js';
import { TracedExchange } from './traced-exchange.js';

/** An exchange whose tries are traced. */
export interface TriedExchange {
  readonly request: WireRequest;
  readonly origin: Origin;
  /** The caller's. */
  readonly context: AsyncResource;
}

/** Traces the waits and tries of one exchange. Made when the first of them begins and somebody listens. */
export class TracedTries {
  readonly #sink: SpanSink | undefined;
  readonly #client: string;
  /** The span in which the exchange was begun, where that is recorded. */
  readonly caller: SpanRef | undefined;
  #wait: TracedAcquire | undefined = undefined;
  #exchange: TracedExchange | undefined = undefined;
  #tries = 0;

  constructor(sink: SpanSink | undefined, client: string) {
    this.#sink = sink;
    this.#client = client;
    this.caller = sink?.active === true ? sink.current() : undefined;
  }

  /** Whether anybody traces exchanges or their waits. */
  static heard(sink: SpanSink | undefined): boolean {
    return sink?.present === true || exchangeOperations.hasSubscribers || acquireOperations.hasSubscribers;
  }

  /** It stands in a queue, or a socket is being opened for it. */
  waits({ context, origin }: TriedExchange, reason: 'queue' | 'dial'): void {
    if (this.#wait !== undefined) return;
    const waiting = { kind: 'http', pool: this.#client, reason, origin: origin.counters.origin } as const;
    context.runInAsyncScope(() => {
      const traced = this.#sink?.active === true;
      if (!traced && !acquireOperations.hasSubscribers) return;
      this.#wait = TracedAcquire.begin(traced ? this.#sink : undefined, waiting);
    });
  }

  /** It has a connection; `served`: its exchanges so far, with this one. `send` sends the request, in the caller's context. */
  begins(exchange: TriedExchange, { served }: { readonly served: number }, send: (request: WireRequest) => void): void {
    // Another exchange gave back a connection while this one's socket was being opened.
    if (this.#wait?.reason === 'dial' && served > 1) this.#wait.reason = 'queue';
    this.#endWait(undefined);
    const { request } = exchange;
    const begun = this.#begin(exchange);
    if (begun === undefined) send(request);
    else begun.begin(() => send(begun.addTo(request)));
  }

  /** Its socket could not be opened. */
  refused(exchange: TriedExchange, error: Error): void {
    this.#endWait(error);
    exchange.context.runInAsyncScope(() => {
      this.#begin(exchange)?.begin(() => {});
    });
    this.ends(error);
  }

  #begin({ request, origin }: TriedExchange): TracedExchange | undefined {
    this.#exchange = TracedExchange.of(this.#sink, this.#client, request, origin, this.#tries++);
    return this.#exchange;
  }

  /** The headers of an answer have come. */
  answered(statusCode: number): void {
    if (this.#exchange !== undefined) this.#exchange.statusCode = statusCode;
  }

  /** What is under way has ended. */
  ends(error: unknown): void {
    this.#endWait(error);
    this.#exchange?.end(error);
    this.#exchange = undefined;
  }

  #endWait(error: unknown): void {
    this.#wait?.end(error);
    this.#wait = undefined;
  }
}
