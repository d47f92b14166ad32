import type { HttpOriginMetrics } from '../http/pool/statistics.js';
import { FamilyMaker, type MetricFamily } from './metric-family.js';

/** The HTTP room tells the first hundred origins apart and folds the others into `other`, so the series stay bounded. */
const origins = new FamilyMaker<HttpOriginMetrics>(({ httpClients }) =>
  httpClients.flatMap((client) =>
    client.origins.map((origin) => [{ pool: client.statistics.name, origin: origin.origin }, origin] as const),
  ),
);

/** Everything that is published of HTTP clients. */
export const HTTP_FAMILIES: readonly MetricFamily[] = [
  origins.gauge('http_pool_size', 'Sockets alive or being opened', ({ statistics }) => statistics.sockets),
  origins.gauge('http_pool_available', 'Idle sockets', ({ statistics }) => statistics.idle),
  origins.gauge('http_pool_in_use', 'Sockets in use or being opened', ({ statistics }) => statistics.inUse),
  origins.gauge('http_pool_waiting', 'Requests that wait for their turn', ({ statistics }) => statistics.waiting),
  origins.gauge(
    'http_pool_limit',
    'The most sockets in use for the origin (limitPerHost); 0: no limit',
    ({ statistics }) => statistics.limit,
  ),
  origins.histogram(
    'http_pool_acquire_seconds',
    'From the request until it had a connection',
    ({ acquire }) => acquire,
  ),
  origins.histograms('http_client_request_seconds', 'Whole exchanges, by method and status', ({ requests }) =>
    requests.map(({ method, status, duration }) => [{ method, status }, duration] as const),
  ),
  origins.counters(
    'http_pool_timeouts_total',
    'Time-outs, by the phase that took too long',
    'phase',
    ({ statistics }) => statistics.timeouts,
  ),
  origins.counter(
    'http_pool_queue_rejected_total',
    'Requests refused because the queue was full',
    ({ statistics }) => statistics.queueRejected,
  ),
  origins.counter('http_pool_opened_total', 'Sockets opened', ({ statistics }) => statistics.opened),
  origins.counter('http_pool_connect_errors_total', 'Dials that failed', ({ statistics }) => statistics.connectErrors),
  origins.counter('http_pool_retries_total', 'Requests tried again', ({ statistics }) => statistics.retries),
  origins.counter('http_pool_leaks_total', 'Answers whose body nobody read', ({ statistics }) => statistics.leaks),
];
