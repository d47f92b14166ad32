import type * as Api from '@opentelemetry/api';
import type { Attributes, Context, Span, TextMapSetter, Tracer, TracerProvider } from '@opentelemetry/api';
import { errorType } from '../core/error-type.js';
import { SECRET_PARAMETERS } from '../core/secret-parameters.js';
import type { OpenSpan, QueryShape, SpanRef, SpanSink } from '../core/span-sink.js';
import type {
  AcquireOperation,
  ExchangeOperation,
  QueryOperation,
  TracedOperation,
  TransactionOperation,
} from '../core/tracing-channels.js';
import {
  acquireAttributes,
  exchangeAttributes,
  exchangeName,
  queryAttributes,
  transactionAttributes,
} from './span-attributes.js';
import type { ResolvedTracing } from './tracing-options.js';

/** OpenTelemetry's API. */
export type OpenTelemetryApi = typeof Api;

/** The scope of all spans. */
export const TRACER_NAME = 'nestjs-pooling';

/** SQLSTATE, of an error that the server has sent. */
function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === 'string' && typeof severity === 'string' && /^[\dA-Z]{5}$/.test(code) ? code : undefined;
}

const headers: TextMapSetter<ExchangeOperation> = {
  set: (exchange, name, value) => exchange.addHeader(name, value),
};

/** An open span of OpenTelemetry. */
abstract class OtelSpan<Operation extends TracedOperation> implements OpenSpan {
  /** The span that was active when it began. */
  readonly outer: Span | undefined;

  constructor(
    protected readonly sink: OpenTelemetrySpans,
    readonly span: Span,
    protected readonly operation: Operation,
    outer: Span | undefined,
  ) {
    this.outer = outer;
  }

  /** Sets the attributes that are known at the end. */
  protected abstract finish(span: Span): void;

  event(name: string): void {
    this.span.addEvent(name);
  }

  end(): void {
    const { span } = this;
    if (span.isRecording()) {
      this.finish(span);
      const { error } = this.operation;
      if (error !== undefined) this.sink.fail(span, error);
    }
    span.end();
  }

  within<Result>(fn: () => Result): Result {
    return this.sink.within(this.span, fn);
  }
}

class QuerySpan extends OtelSpan<QueryOperation> {
  protected override finish(span: Span): void {
    const { batchSize, error } = this.operation;
    if (batchSize !== undefined) span.setAttribute('db.operation.batch.size', batchSize);
    const state = sqlState(error);
    if (state !== undefined) span.setAttribute('db.response.status_code', state);
  }
}

class AcquireSpan extends OtelSpan<AcquireOperation> {
  protected override finish(span: Span): void {
    span.setAttribute('nestjs_pooling.acquire.reason', this.operation.reason);
  }
}

class TransactionSpan extends OtelSpan<TransactionOperation> {
  protected override finish(span: Span): void {
    const { attempts, outcome } = this.operation;
    span.setAttribute('nestjs_pooling.transaction.attempts', attempts);
    if (outcome !== undefined) span.setAttribute('nestjs_pooling.transaction.outcome', outcome);
  }
}

class ExchangeSpan extends OtelSpan<ExchangeOperation> {
  protected override finish(span: Span): void {
    const { statusCode, error } = this.operation;
    if (statusCode === undefined) return;
    span.setAttribute('http.response.status_code', statusCode);
    if (statusCode >= 400 && error === undefined) this.sink.failAs(span, String(statusCode));
  }
}

/** Makes OpenTelemetry's spans of what pools and clients do, while there is a tracer provider. */
export class OpenTelemetrySpans implements SpanSink {
  readonly #api: OpenTelemetryApi;
  readonly #trace: Api.TraceAPI;
  #options: ResolvedTracing | undefined;
  /** Stands for a provider where none was set up. */
  readonly #none: TracerProvider;
  #provider: TracerProvider | undefined = undefined;
  #tracer: Tracer | undefined = undefined;
  /** The span that was active last, and whether the sampler has left it out. */
  #judged: Span | undefined = undefined;
  #judgedOut = false;
  /** The first attributes of a statement's spans; the same for all uses of its text. */
  #attributes = new WeakMap<QueryShape, Attributes>();

  constructor(api: OpenTelemetryApi, options: ResolvedTracing | undefined) {
    this.#api = api;
    this.#trace = api.trace;
    this.#options = options;
    this.#none = new api.ProxyTracerProvider().getDelegate();
  }

  /** Changes the options; `undefined`: no spans. */
  configure(options: ResolvedTracing | undefined): void {
    this.#options = options;
    this.#provider = undefined;
    this.#attributes = new WeakMap();
  }

  get yields(): boolean {
    return this.#options?.mode === 'auto';
  }

  get secretParameters(): ReadonlySet<string> {
    return this.#options?.secretParameters ?? SECRET_PARAMETERS;
  }

  get present(): boolean {
    return this.#tracerNow() !== undefined;
  }

  get active(): boolean {
    return this.#tracerNow() !== undefined && !this.#leftOut;
  }

  /** Whether the sampler has left out the active span, and with it all spans within. */
  get #leftOut(): boolean {
    const span = this.#trace.getActiveSpan();
    // Many queries run in one span.
    if (span !== this.#judged) {
      this.#judged = span;
      this.#judgedOut = span !== undefined && (span.spanContext().traceFlags & 1) === 0 && !span.isRecording();
    }
    return this.#judgedOut;
  }

  /** The tracer of the present provider, which may be set up or replaced at any time. */
  #tracerNow(): Tracer | undefined {
    if (this.#options === undefined) return undefined;
    const proxy = this.#trace.getTracerProvider() as Partial<Api.ProxyTracerProvider> & TracerProvider;
    const provider = proxy.getDelegate === undefined ? proxy : proxy.getDelegate();
    if (provider === this.#provider) return this.#tracer;
    this.#provider = provider;
    this.#tracer = provider === this.#none ? undefined : provider.getTracer(TRACER_NAME);
    return this.#tracer;
  }

  current(): SpanRef | undefined {
    const context = this.#trace.getActiveSpan()?.spanContext();
    if (context === undefined || (context.traceFlags & this.#api.TraceFlags.SAMPLED) === 0) return undefined;
    return { traceId: context.traceId, spanId: context.spanId };
  }

  query(operation: QueryOperation, shape: QueryShape, parent: OpenSpan | undefined): OpenSpan {
    let attributes = this.#attributes.get(shape);
    if (attributes === undefined) {
      attributes = queryAttributes(shape, this.#options?.queryText === true);
      this.#attributes.set(shape, attributes);
    }
    const name = shape.summary === '' ? 'postgresql' : shape.summary;
    const kind = this.#api.SpanKind.CLIENT;
    const span = this.#start(name, { kind, attributes }, this.#contextFor(parent));
    return new QuerySpan(this, span, operation, undefined);
  }

  acquire(operation: AcquireOperation, holder: SpanRef | undefined): OpenSpan {
    const { SpanKind, TraceFlags } = this.#api;
    const attributes = acquireAttributes(operation);
    const links = holder === undefined ? [] : [{ context: { ...holder, traceFlags: TraceFlags.SAMPLED } }];
    const span = this.#start(`acquire ${operation.pool}`, { kind: SpanKind.INTERNAL, attributes, links });
    return new AcquireSpan(this, span, operation, undefined);
  }

  transaction(operation: TransactionOperation): OpenSpan {
    const { context, SpanKind, trace } = this.#api;
    const attributes = transactionAttributes(operation);
    const span = this.#start('transaction', { kind: SpanKind.INTERNAL, attributes });
    return new TransactionSpan(this, span, operation, trace.getSpan(context.active()));
  }

  exchange(operation: ExchangeOperation): OpenSpan {
    const { context, propagation, SpanKind, trace } = this.#api;
    const attributes = exchangeAttributes(operation);
    const active = context.active();
    const span = this.#start(exchangeName(operation), { kind: SpanKind.CLIENT, attributes }, active);
    if (this.#options?.propagate === true) propagation.inject(trace.setSpan(active, span), operation, headers);
    return new ExchangeSpan(this, span, operation, undefined);
  }

  /** Runs a function within a span. */
  within<Result>(span: Span, fn: () => Result): Result {
    const { context, trace } = this.#api;
    return context.with(trace.setSpan(context.active(), span), fn);
  }

  /** Marks a span as failed. */
  fail(span: Span, error: unknown): void {
    const message = (error as { readonly message?: unknown } | null)?.message;
    const shown = this.#options?.errorMessages === true && typeof message === 'string' ? message : undefined;
    this.failAs(span, errorType(error), shown);
  }

  /** The same for a failure without an error object. */
  failAs(span: Span, type: string, message?: string): void {
    span.setAttribute('error.type', type);
    const code = this.#api.SpanStatusCode.ERROR;
    span.setStatus(message === undefined ? { code } : { code, message });
  }

  #start(name: string, options: Api.SpanOptions, context = this.#api.context.active()): Span {
    const tracer = this.#tracerNow();
    // The provider has gone since `active` was asked for.
    if (tracer === undefined) return this.#api.trace.wrapSpanContext(this.#api.INVALID_SPAN_CONTEXT);
    return tracer.startSpan(name, options, context);
  }

  /** The context within a parent span, unless user code has begun a span within it: then that one is the parent. */
  #contextFor(parent: OpenSpan | undefined): Context {
    const { context, trace } = this.#api;
    const active = context.active();
    if (!(parent instanceof OtelSpan) || trace.getSpan(active) !== parent.outer) return active;
    return trace.setSpan(active, parent.span);
  }
}
