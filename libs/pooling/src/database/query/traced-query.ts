import type { QueryResult, Submittable } from 'pg';
import type { QueryShape } from '../../core/span-sink.js';
import { Traced } from '../../core/traced.js';
import { queryOperations, type QueryOperation } from '../../core/tracing-channels.js';
import type { QueryOutcome } from './query-forms.js';

/** One statement, as tracers see it. */
export class TracedQuery extends Traced implements QueryOperation {
  readonly connection: number;
  readonly text: string;
  readonly summary: string;
  readonly database: string;
  readonly host: string;
  readonly port: number | undefined;
  rows: number | undefined = undefined;
  batchSize: number | undefined = undefined;

  constructor(pool: string, { text, summary, database, host, port }: QueryShape, connection: number) {
    super(queryOperations, pool);
    this.connection = connection;
    this.text = text;
    this.summary = summary;
    this.database = database;
    this.host = host;
    this.port = port;
  }

  /** It was answered, or never will be. */
  end(error: unknown, result: QueryResult | readonly QueryResult[] | undefined): void {
    if (result !== undefined && error === undefined) {
      // Where the text had several statements, there is a result for each.
      if (Array.isArray(result)) this.batchSize = result.length;
      else this.rows = (result as QueryResult).rowCount ?? undefined;
    }
    this.finish(error);
  }

  /** Wraps the caller's callback, so that the trace ends with the answer. */
  hearing(callback: QueryOutcome): QueryOutcome {
    return (error, result, untouched) => {
      this.end(error, result);
      callback(error, result, untouched);
    };
  }

  /** Ends the trace when a cursor, a stream or a `COPY` has ended: pg calls one of these, also when the connection is lost. */
  attend(submittable: Submittable): void {
    const submitted = submittable as Submittable & Partial<Record<'handleError' | 'handleReadyForQuery', Handler>>;
    for (const name of ['handleError', 'handleReadyForQuery'] as const) {
      const handler = submitted[name];
      Object.defineProperty(submitted, name, {
        configurable: true,
        writable: true,
        enumerable: false,
        value: (first: unknown, ...rest: unknown[]): unknown => {
          this.end(name === 'handleError' ? first : undefined, undefined);
          return handler?.call(submitted, first, ...rest);
        },
      });
    }
  }
}

type Handler = (...parameters: unknown[]) => unknown;
