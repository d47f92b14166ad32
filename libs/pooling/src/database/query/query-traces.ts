import type { Client } from 'pg';
import type { QueryShape, SpanSink } from '../../core/span-sink.js';
import type { Traced } from '../../core/traced.js';
import { queryOperations, transactionOperations } from '../../core/tracing-channels.js';
import { isTraced } from '../pg-internals.js';
import { commandOf, isTransactionCommand, withoutLiterals } from './query-words.js';
import { TracedQuery } from './traced-query.js';
import { TracedTransaction, type TracedSettings } from './traced-transaction.js';

/** For how many texts of a pool the shape of their query is kept. */
const MOST_KNOWN = 1_000;
/** The shape of longer texts isn't kept, in characters. */
const LONGEST_KNOWN = 32_768;

/** Where a pool's statements run. */
export interface QueryPlace {
  readonly database: string;
  /** A name, an address, or the folder of a socket. */
  readonly host: string;
  readonly port: number;
}

/** What a query builder knows of its statement. */
export interface QuerySummary {
  /** `SELECT orders customers` */
  readonly summary: string;
  readonly operation: string;
  /** The table, where there is only one. */
  readonly collection: string | undefined;
}

/** The statements of a pool, as tracers see them. */
export class QueryTraces {
  readonly #pool: string;
  readonly #place: QueryPlace;
  readonly #sink: SpanSink | undefined;
  readonly #known = new Map<string, QueryShape>();

  constructor(pool: string, place: QueryPlace, sink: SpanSink | undefined) {
    this.#pool = pool;
    this.#place = place;
    this.#sink = sink;
  }

  /** Whether statements may have to be traced. */
  get heard(): boolean {
    return queryOperations.hasSubscribers || this.#sink?.active === true;
  }

  /** Keeps what a query builder knows of a text, unless that is known already. */
  learn(text: string, parametrised: boolean, summary: () => QuerySummary | undefined): void {
    if (!this.heard || this.#known.has(text)) return;
    this.#keep(text, parametrised, summary());
  }

  /**
   * Traces a statement that is about to be sent; `undefined`: nobody listens.
   *
   * @param transaction its transaction, whose `BEGIN`, end and savepoints aren't traced as statements.
   */
  query(
    client: Client,
    connection: number,
    text: string,
    parametrised: boolean,
    transaction: Traced | undefined,
  ): TracedQuery | undefined {
    const sink = this.#sink;
    // An instrumentation of pg may be loaded, or disabled, at any time.
    const spanned = sink?.active === true && !(sink.yields && isTraced(client));
    if (!spanned && !queryOperations.hasSubscribers) return undefined;
    if (text === '' || (transaction !== undefined && isTransactionCommand(text))) return undefined;
    const shape = this.#known.get(text) ?? this.#keep(text, parametrised, undefined);
    const query = new TracedQuery(this.#pool, shape, connection);
    if (spanned) query.span = sink.query(query, shape, transaction?.span);
    return query;
  }

  /** Traces a transaction that is about to begin; `undefined`: nobody listens. */
  transaction(settings: TracedSettings): TracedTransaction | undefined {
    const sink = this.#sink;
    const spanned = sink?.active === true;
    if (!spanned && !transactionOperations.hasSubscribers) return undefined;
    const transaction = new TracedTransaction(this.#pool, settings);
    if (spanned) transaction.span = sink.transaction(transaction);
    return transaction;
  }

  #keep(text: string, parametrised: boolean, known: QuerySummary | undefined): QueryShape {
    const { database, host, port } = this.#place;
    const shape: QueryShape = {
      text: parametrised ? text : withoutLiterals(text),
      summary: known?.summary ?? commandOf(text),
      operation: known?.operation,
      collection: known?.collection,
      database,
      host,
      port: host.startsWith('/') ? undefined : port,
    };
    if (text.length > LONGEST_KNOWN) return shape;
    if (this.#known.size >= MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
    this.#known.set(text, shape);
    return shape;
  }
}
