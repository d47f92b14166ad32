import { channel } from 'node:diagnostics_channel';
import { SECRET_PARAMETERS } from '../../core/secret-parameters.js';
import type { SpanSink } from '../../core/span-sink.js';
import { Traced } from '../../core/traced.js';
import { exchangeOperations, type ExchangeOperation } from '../../core/tracing-channels.js';
import { flatHeaders } from '../message/headers.js';
import { redactedUrl } from '../message/redacted-url.js';
import type { WireRequest } from '../message/request.js';
import type { Origin } from '../pool/origin.js';

/** A subscriber of this channel is an instrumentation of undici: it makes a span of each message. */
const created = channel('undici:request:create');

/** One try of an exchange, as tracers see it. */
export class TracedExchange extends Traced implements ExchangeOperation {
  readonly method: string;
  readonly url: string;
  readonly template: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly scheme: string;
  readonly resends: number;
  statusCode: number | undefined = undefined;
  readonly #sent: unknown;
  #names: ReadonlySet<string> | undefined = undefined;
  #added: string[] | undefined = undefined;

  private constructor(
    client: string,
    { method, path, template, headers }: WireRequest,
    origin: Origin,
    resends: number,
    secrets: ReadonlySet<string>,
  ) {
    super(exchangeOperations, client);
    this.method = method;
    this.url = redactedUrl(origin.named, path, secrets);
    this.template = template;
    this.host = origin.servername || origin.hostname;
    this.port = origin.port === '' ? (origin.protocol === 'https:' ? 443 : 80) : Number(origin.port);
    this.scheme = origin.protocol.slice(0, -1);
    this.resends = resends;
    this.#sent = headers;
  }

  /** Traces a try that begins now; `undefined`: nobody listens. */
  static of(
    sink: SpanSink | undefined,
    client: string,
    request: WireRequest,
    origin: Origin,
    resends: number,
  ): TracedExchange | undefined {
    // Also where the sampler leaves it out: the request carries that decision on.
    const wanted = sink?.present === true && !(sink.yields && created.hasSubscribers);
    if (!wanted && !exchangeOperations.hasSubscribers) return undefined;
    const secrets = sink?.secretParameters ?? SECRET_PARAMETERS;
    const exchange = new TracedExchange(client, request, origin, resends, secrets);
    if (wanted) exchange.span = sink.exchange(exchange);
    return exchange;
  }

  addHeader(name: string, value: string): void {
    this.#names ??= new Set(
      flatHeaders(this.#sent)
        .filter((_, at) => at % 2 === 0)
        .map((each) => each.toLowerCase()),
    );
    if (this.#names.has(name.toLowerCase())) return;
    this.#added ??= [];
    this.#added.push(name, value);
  }

  /** The request with the headers that were added. */
  addTo(request: WireRequest): WireRequest {
    if (this.#added === undefined) return request;
    return { ...request, headers: [...flatHeaders(request.headers), ...this.#added] };
  }

  /** It has ended; an answer that is replaced has no error. */
  end(error?: unknown): void {
    this.finish(error);
  }
}
