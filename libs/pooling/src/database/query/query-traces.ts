import type { Client } from 'pg';
import type { QueryShape, SpanSink } from '../../core/span-sink.js';
import type { Traced } from '../../core/traced.js';
import { queryOperations, transactionOperations } from '../../core/tracing-channels.js';
import { isTraced } from '../pg-internals.js';
import { parametersOf, textOf, type QueryText } from './query-forms.js';
import { commandOf, withoutLiterals } from './query-words.js';
import { transactionCommandOf } from './transaction-commands.js';
import { TracedQuery } from './traced-query.js';
import { TracedTransaction, type TracedSettings } from './traced-transaction.js';

/** For how many texts of a pool the shape of their query is kept. */
const MOST_KNOWN = 1_000;
/** For how many hosts of a text. */
const MOST_HOSTS = 8;
/** The shape of longer texts isn't kept, in characters. */
const LONGEST_KNOWN = 32_768;

/** Where a statement runs. */
export interface HostOfQuery {
  /** A name, an address, or the folder of a socket. */
  readonly host: string;
  readonly port: number;
}

/** Where a pool's statements run, unless their connection goes to another host. */
export interface QueryPlace extends HostOfQuery {
  readonly database: string;
}

/** The connection of a statement. */
export interface QueryConnection {
  readonly client: Client;
  /** Its number in the pool. */
  readonly connection: number;
  /** The one of several hosts that it goes to. */
  readonly host: HostOfQuery | undefined;
}

/** What a query builder knows of its statement. */
export interface QuerySummary {
  /** `SELECT orders customers` */
  readonly summary: string;
  readonly operation: string;
  /** The table, where there is only one. */
  readonly collection: string | undefined;
}

/** What is known of a text, and its shapes: one for each host that it has run on. */
interface KnownText {
  readonly text: string;
  readonly summary: QuerySummary | undefined;
  readonly shapes: QueryShape[];
}

/** The statements of a pool, as tracers see them. */
export class QueryTraces {
  readonly #pool: string;
  readonly #place: QueryPlace;
  readonly #sink: SpanSink | undefined;
  readonly #known = new Map<string, KnownText>();

  constructor(pool: string, place: QueryPlace, sink: SpanSink | undefined) {
    this.#pool = pool;
    this.#place = place;
    this.#sink = sink;
  }

  /** Whether anybody listens to the channel of statements. */
  get subscribed(): boolean {
    return queryOperations.hasSubscribers;
  }

  /** Whether a tracer listens to what runs here. This takes time: ask once for a statement. */
  get traced(): boolean {
    return this.#sink?.active === true;
  }

  /** Whether statements may have to be traced. */
  get heard(): boolean {
    return this.subscribed || this.traced;
  }

  /** Keeps what a query builder knows of a text, unless that is known already. */
  learn(text: string, parametrised: boolean, summary: () => QuerySummary | undefined): void {
    if (this.#known.has(text)) return;
    this.#keep(text, parametrised, summary());
  }

  /**
   * Traces a statement that is about to be sent; `undefined`: nobody listens.
   *
   * @param traced whether a tracer listens to it.
   * @param transaction its transaction, whose `BEGIN`, end and savepoints aren't traced as statements.
   */
  query(
    { client, connection, host = this.#place }: QueryConnection,
    config: QueryText,
    values: unknown[] | undefined,
    traced: boolean,
    transaction: Traced | undefined,
  ): TracedQuery | undefined {
    const sink = this.#sink;
    const text = textOf(config);
    // An instrumentation of pg may be loaded, or disabled, at any time.
    const spanned = traced && sink !== undefined && !(sink.yields && isTraced(client));
    if (!spanned && !queryOperations.hasSubscribers) return undefined;
    if (text === '' || (transaction !== undefined && transactionCommandOf(text) !== undefined)) return undefined;
    const known = this.#known.get(text) ?? this.#keep(text, isParametrised(config, values), undefined);
    const shape = this.#shapeAt(known, host);
    const query = new TracedQuery(this.#pool, shape, connection);
    if (spanned) query.span = sink.query(query, shape, transaction?.span);
    return query;
  }

  /**
   * Traces a transaction that is about to begin; `undefined`: nobody listens.
   *
   * @param batchSize how many statements it has, where it is a batch.
   */
  transaction(settings: TracedSettings, batchSize?: number): TracedTransaction | undefined {
    const sink = this.#sink;
    const spanned = sink?.active === true;
    if (!spanned && !transactionOperations.hasSubscribers) return undefined;
    const transaction = new TracedTransaction(this.#pool, settings, batchSize);
    if (spanned) transaction.span = sink.transaction(transaction);
    return transaction;
  }

  #shapeAt({ text, summary, shapes }: KnownText, { host, port }: HostOfQuery): QueryShape {
    const shownPort = host.startsWith('/') ? undefined : port;
    for (const shape of shapes) if (shape.host === host && shape.port === shownPort) return shape;
    const shape: QueryShape = {
      text,
      summary: summary?.summary ?? commandOf(text),
      operation: summary?.operation,
      collection: summary?.collection,
      database: this.#place.database,
      host,
      port: shownPort,
    };
    // Hosts may come and go, where a function gives them.
    if (shapes.length >= MOST_HOSTS) shapes.shift();
    shapes.push(shape);
    return shape;
  }

  #keep(text: string, parametrised: boolean, summary: QuerySummary | undefined): KnownText {
    const known: KnownText = { text: parametrised ? text : withoutLiterals(text), summary, shapes: [] };
    if (text.length > LONGEST_KNOWN) return known;
    if (this.#known.size >= MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
    this.#known.set(text, known);
    return known;
  }
}

function isParametrised(config: QueryText, values: unknown[] | undefined): boolean {
  const given = parametersOf(config, values);
  return Array.isArray(given) && given.length > 0;
}
