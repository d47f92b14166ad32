import type { AcquireOperation, ExchangeOperation, QueryOperation, TransactionOperation } from './tracing-channels.js';

/** Names a span of a trace, as the W3C's `traceparent` does. */
export interface SpanRef {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
}

/** What all uses of a statement have in common; one object for each text of a pool. */
export interface QueryShape {
  readonly text: string;
  /** Empty where it isn't known. */
  readonly summary: string;
  /** What it does and the one table it does it to, as a query builder knows them. */
  readonly operation: string | undefined;
  readonly collection: string | undefined;
  readonly database: string;
  readonly host: string;
  readonly port: number | undefined;
}

/** A span that has begun. */
export interface OpenSpan {
  /** Notes something that happens in it now. */
  event(name: string): void;
  /** Ends it, with all that its operation tells by now. */
  end(): void;
  /** Runs a function, and what it starts, within it. */
  within<Result>(fn: () => Result): Result;
}

/** What makes spans of operations. Each of its methods is called in the async context of whoever asked for the operation. */
export interface SpanSink {
  /** Whether there is a tracer. */
  readonly present: boolean;
  /** Whether a tracer records what happens here: not inside a span that its sampler has left out. */
  readonly active: boolean;
  /** Whether queries and exchanges are left to an instrumentation that makes spans of them. */
  readonly yields: boolean;
  /** Parameters of URLs whose values aren't shown. */
  readonly secretParameters: ReadonlySet<string>;
  /** The span that is active now and is recorded. */
  current(): SpanRef | undefined;
  /** `parent`: whose child it is, unless it is the active span's. */
  query(operation: QueryOperation, shape: QueryShape, parent: OpenSpan | undefined): OpenSpan;
  /** `holder`: the span that was active where the connection was acquired that it waits for. */
  acquire(operation: AcquireOperation, holder: SpanRef | undefined): OpenSpan;
  transaction(operation: TransactionOperation): OpenSpan;
  exchange(operation: ExchangeOperation): OpenSpan;
}
