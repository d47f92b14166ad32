import { tracingChannel } from 'node:diagnostics_channel';

/** What the messages of every tracing channel have: one object for an operation, published at each of its events. */
export interface TracedOperation {
  /** The name of the pool or client. */
  readonly pool: string;
  /** Why it failed; there from `error` on. */
  readonly error?: unknown;
}

/**
 * `nestjs-pooling:query`: a statement, from the moment its connection sends it to its answer.
 *
 * ```ts
 * import { tracingChannel } from 'node:diagnostics_channel';
 *
 * const startedAt = new WeakMap<object, number>();
 * tracingChannel('nestjs-pooling:query').subscribe({
 *   start: (message) => void startedAt.set(message as QueryOperation, performance.now()),
 *   asyncEnd: (message) => {
 *     const { summary, rows } = message as QueryOperation;
 *     console.log(summary, rows, performance.now() - (startedAt.get(message as QueryOperation) ?? 0));
 *   },
 *   end: () => {},
 *   asyncStart: () => {},
 *   error: () => {},
 * });
 * ```
 */
export interface QueryOperation extends TracedOperation {
  /** The text with its placeholders; literals of a text without parameters are `?`. Never a parameter's value. */
  readonly text: string;
  /** `SELECT orders customers` where a query builder has made it, else the operation: `SELECT`. Few of them. */
  readonly summary: string;
  /** The database, and the server as it is dialled. */
  readonly database: string;
  readonly host: string;
  readonly port: number | undefined;
  /** Identifies the connection within its pool, as in `holders()`. */
  readonly connection: number;
  /** How many statements its text had, where it had several; known at the end. */
  readonly batchSize?: number | undefined;
  /** Rows that it gave or changed; known at the end. */
  readonly rows?: number | undefined;
}

/** Why an acquire had to wait: all connections were in use, one was opened, or an idle one was checked or prepared first. */
export type AcquireReason = 'queue' | 'dial' | 'check';

/** `nestjs-pooling:acquire`: an acquire that could not be served at once, or was refused; those that can make no message. */
export interface AcquireOperation extends TracedOperation {
  readonly kind: 'database' | 'http';
  /** What it waits for as far as that is known at its start; from the end on, what it has waited for. */
  readonly reason: AcquireReason;
  /** The handler that held a connection longest when it began to wait, where that is known. */
  readonly heldBy?: string | undefined;
  /** HTTP: `https://host:port`. */
  readonly origin?: string | undefined;
}

/** `nestjs-pooling:transaction`: from its beginning to its commit or rollback, tries included. */
export interface TransactionOperation extends TracedOperation {
  readonly isolationLevel?: string | undefined;
  readonly accessMode?: string | undefined;
  /** How many statements it was sent with, where it is a `batch` of several. */
  readonly batchSize?: number | undefined;
  /** How often it was begun. */
  readonly attempts: number;
  /** There from the end on; `unknown`: the connection was lost after COMMIT was sent. */
  readonly outcome?: 'committed' | 'rolled back' | 'unknown' | undefined;
}

/** `nestjs-pooling:exchange`: one try of an HTTP request, from its connection to the end of its answer. */
export interface ExchangeOperation extends TracedOperation {
  readonly method: string;
  /** Without user, password and the values of parameters that are known to be secrets. */
  readonly url: string;
  /** `init.template`. */
  readonly template?: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly scheme: string;
  /** Which repetition of its request it is; 0: the first try. */
  readonly resends: number;
  /** There once the headers of an answer have come. */
  readonly statusCode?: number | undefined;
  /** Sends a header with this try, unless the request has one of this name; at `start` only. */
  addHeader(name: string, value: string): void;
}

/** One event of a tracing channel. */
interface OperationEvent<Operation> {
  publish(operation: Operation): void;
  runStores<Result>(operation: Operation, fn: () => Result): Result;
}

/** A tracing channel of one kind of message; without a subscriber it costs one look at a flag. */
export interface OperationChannel<Operation extends TracedOperation> {
  readonly hasSubscribers: boolean;
  readonly start: OperationEvent<Operation>;
  readonly end: OperationEvent<Operation>;
  readonly asyncStart: OperationEvent<Operation>;
  readonly asyncEnd: OperationEvent<Operation>;
  readonly error: OperationEvent<Operation>;
}

function operationChannel<Operation extends TracedOperation>(name: string): OperationChannel<Operation> {
  return tracingChannel(`nestjs-pooling:${name}`) as unknown as OperationChannel<Operation>;
}

export const queryOperations = operationChannel<QueryOperation>('query');
export const acquireOperations = operationChannel<AcquireOperation>('acquire');
export const transactionOperations = operationChannel<TransactionOperation>('transaction');
export const exchangeOperations = operationChannel<ExchangeOperation>('exchange');
