import type { Attributes, BatchObservableResult, Histogram, Meter, Observable } from '@opentelemetry/api';
import {
  acquireChannel,
  closeChannel,
  connectChannel,
  releaseChannel,
  requestChannel,
  type HttpRequestEvent,
  type PoolAcquireEvent,
  type PoolCloseEvent,
  type PoolConnectEvent,
  type PoolReleaseEvent,
} from '../core/diagnostics.js';
import { publishedMethod } from '../http/pool/statistics.js';
import type { DatabaseMetrics, HttpMetrics, MetricsSnapshot } from './metrics-source.js';

/** The instrumentation scope of everything that is published here. */
export const METER_NAME = 'nestjs-pooling';

/** Of `db.client.operation.duration`, and 30 s: the conventions advise none for pools, and acquires wait as long. */
const POOL_BOUNDS_S = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30];
/** https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientrequestduration */
const REQUEST_BOUNDS_S = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientconnectionduration */
const CONNECTION_BOUNDS_S = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];

/**
 * The pools of a process under the names of OpenTelemetry's semantic conventions. Levels and counters are read when
 * the SDK collects; durations are recorded as they are published on the channels.
 *
 * https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools
 */
export class PoolInstruments {
  readonly #meter: Meter;
  readonly #snapshots: () => Iterable<MetricsSnapshot>;
  readonly #connections: Observable;
  readonly #idleMax: Observable;
  readonly #idleMin: Observable;
  readonly #limits: readonly Observable[];
  readonly #pending: Observable;
  readonly #timeouts: Observable;
  readonly #openConnections: Observable;
  readonly #createTime: Histogram;
  readonly #waitTime: Histogram;
  readonly #useTime: Histogram;
  readonly #requestDuration: Histogram;
  readonly #connectionDuration: Histogram;
  /** Attributes of pools and origins; both are few. */
  readonly #pools = new Map<string, Attributes>();
  readonly #origins = new Map<string, Attributes>();

  constructor(meter: Meter, snapshots: () => Iterable<MetricsSnapshot>) {
    this.#meter = meter;
    this.#snapshots = snapshots;
    const level = (name: string, description: string, unit = '{connection}'): Observable =>
      meter.createObservableUpDownCounter(name, { description, unit });
    const durations = (name: string, description: string, explicitBucketBoundaries: number[]): Histogram =>
      meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries } });
    const db = 'db.client.connection';
    this.#connections = level(`${db}.count`, 'Open connections, by state');
    this.#idleMax = level(`${db}.idle.max`, 'The most idle connections that are kept');
    this.#idleMin = level(`${db}.idle.min`, 'The fewest idle connections that are kept ready');
    // Version 1.45 of the conventions calls `max` `limit`.
    this.#limits = ['limit', 'max'].map((name) => level(`${db}.${name}`, 'The most open connections'));
    this.#pending = level(`${db}.pending_requests`, 'Acquires in the queue', '{request}');
    this.#timeouts = meter.createObservableCounter(`${db}.timeouts`, {
      description: 'Acquires that got no connection in time',
      unit: '{timeout}',
    });
    this.#openConnections = level('http.client.open_connections', 'Open sockets, by state');
    this.#createTime = durations(`${db}.create_time`, 'Opening a connection', POOL_BOUNDS_S);
    this.#waitTime = durations(`${db}.wait_time`, 'From acquire to lease', POOL_BOUNDS_S);
    this.#useTime = durations(`${db}.use_time`, 'From lease to release', POOL_BOUNDS_S);
    this.#requestDuration = durations(
      'http.client.request.duration',
      'Whole exchanges, with queueing and retries',
      REQUEST_BOUNDS_S,
    );
    this.#connectionDuration = durations(
      'http.client.connection.duration',
      'How old sockets became',
      CONNECTION_BOUNDS_S,
    );
  }

  /** Everything that is read at a collection. */
  get #observed(): Observable[] {
    return [
      this.#connections,
      this.#idleMax,
      this.#idleMin,
      ...this.#limits,
      this.#pending,
      this.#timeouts,
      this.#openConnections,
    ];
  }

  /** From here on everything is recorded. */
  start(): void {
    this.#meter.addBatchObservableCallback(this.#collect, this.#observed);
    acquireChannel.subscribe(this.#acquired);
    releaseChannel.subscribe(this.#released);
    connectChannel.subscribe(this.#connected);
    closeChannel.subscribe(this.#closed);
    requestChannel.subscribe(this.#requested);
  }

  /** Nothing is recorded any more. */
  stop(): void {
    this.#meter.removeBatchObservableCallback(this.#collect, this.#observed);
    acquireChannel.unsubscribe(this.#acquired);
    releaseChannel.unsubscribe(this.#released);
    connectChannel.unsubscribe(this.#connected);
    closeChannel.unsubscribe(this.#closed);
    requestChannel.unsubscribe(this.#requested);
  }

  readonly #collect = (result: BatchObservableResult): void => {
    const seen = new Set<string>();
    // Two applications with pools of the same name: one series can't have two values, and the newer one counts.
    const first = (name: string): boolean => !seen.has(name) && seen.add(name) !== undefined;
    for (const { databases, httpClients } of this.#snapshots()) {
      for (const database of databases) {
        if (first(`database ${database.statistics.name}`)) this.#observeDatabase(result, database);
      }
      for (const client of httpClients) {
        if (first(`http ${client.statistics.name}`)) this.#observeHttp(result, client);
      }
    }
  };

  #observeDatabase(result: BatchObservableResult, { statistics, bounds }: DatabaseMetrics): void {
    const pool = this.#poolOf(statistics.name);
    const state = 'db.client.connection.state';
    result.observe(this.#connections, statistics.idle, { ...pool, [state]: 'idle' });
    result.observe(this.#connections, statistics.inUse, { ...pool, [state]: 'used' });
    result.observe(this.#idleMax, bounds.size, pool);
    result.observe(this.#idleMin, bounds.minIdle, pool);
    for (const limit of this.#limits) result.observe(limit, statistics.max, pool);
    result.observe(this.#pending, statistics.waiting, pool);
    result.observe(this.#timeouts, statistics.acquireTimeouts, pool);
  }

  #observeHttp(result: BatchObservableResult, { statistics: { name }, origins }: HttpMetrics): void {
    const state = 'http.connection.state';
    for (const { origin, statistics } of origins) {
      const attributes = { ...this.#originOf(origin), 'nestjs_pooling.client.name': name };
      result.observe(this.#openConnections, statistics.idle, { ...attributes, [state]: 'idle' });
      const active = statistics.inUse - statistics.connecting;
      result.observe(this.#openConnections, active, { ...attributes, [state]: 'active' });
    }
  }

  readonly #acquired = ({ kind, pool, waitMs }: PoolAcquireEvent): void => {
    if (kind === 'database') this.#waitTime.record(waitMs / 1_000, this.#poolOf(pool));
  };

  readonly #released = ({ kind, pool, useMs }: PoolReleaseEvent): void => {
    if (kind === 'database') this.#useTime.record(useMs / 1_000, this.#poolOf(pool));
  };

  readonly #connected = ({ kind, pool, durationMs, error }: PoolConnectEvent): void => {
    if (kind === 'database' && error === undefined) this.#createTime.record(durationMs / 1_000, this.#poolOf(pool));
  };

  readonly #closed = ({ kind, origin, ageMs }: PoolCloseEvent): void => {
    if (kind === 'http') this.#connectionDuration.record(ageMs / 1_000, this.#originOf(origin));
  };

  readonly #requested = ({ origin, method, outcome, durationMs }: HttpRequestEvent): void => {
    this.#requestDuration.record(durationMs / 1_000, {
      ...this.#originOf(origin),
      'http.request.method': publishedMethod(method),
      ...(typeof outcome === 'number' ? { 'http.response.status_code': outcome } : undefined),
      ...(typeof outcome !== 'number' || outcome >= 400 ? { 'error.type': String(outcome) } : undefined),
    });
  };

  #poolOf(name: string): Attributes {
    let attributes = this.#pools.get(name);
    if (attributes === undefined) this.#pools.set(name, (attributes = { 'db.client.connection.pool.name': name }));
    return attributes;
  }

  #originOf(origin = ''): Attributes {
    let attributes = this.#origins.get(origin);
    if (attributes === undefined) this.#origins.set(origin, (attributes = originAttributes(origin)));
    return attributes;
  }
}

/** The attributes of `https://host:port`; of `other`, for all origins past the first hundred, only the address. */
function originAttributes(origin: string): Attributes {
  if (!URL.canParse(origin)) return { 'server.address': origin };
  const { protocol, hostname, port } = new URL(origin);
  return {
    'server.address': hostname,
    'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    'url.scheme': protocol.slice(0, -1),
  };
}
