import type { Attributes } from '@opentelemetry/api';
import type { QueryShape } from '../core/span-sink.js';
import type { AcquireOperation, ExchangeOperation, TransactionOperation } from '../core/tracing-channels.js';

/*
 * Names of OpenTelemetry's semantic conventions (https://opentelemetry.io/docs/specs/semconv/database/postgresql/,
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/), and a few of our own, which begin with `nestjs_pooling`.
 */

/** Methods that the conventions know; others are `_OTHER`. */
const METHODS: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'QUERY',
  'TRACE',
]);

/** What is known of a query before it is sent. */
export function queryAttributes(shape: QueryShape, withText: boolean): Attributes {
  const attributes: Attributes = {
    'db.system.name': 'postgresql',
    'db.namespace': shape.database,
    'server.address': shape.host,
  };
  if (shape.port !== undefined) attributes['server.port'] = shape.port;
  if (shape.summary !== '') attributes['db.query.summary'] = shape.summary;
  if (shape.operation !== undefined) attributes['db.operation.name'] = shape.operation;
  if (shape.collection !== undefined) attributes['db.collection.name'] = shape.collection;
  if (withText) attributes['db.query.text'] = shape.text;
  return attributes;
}

export function acquireAttributes({ kind, pool, reason, heldBy, origin }: AcquireOperation): Attributes {
  const attributes: Attributes = {
    [kind === 'database' ? 'db.client.connection.pool.name' : 'nestjs_pooling.client.name']: pool,
    'nestjs_pooling.acquire.reason': reason,
  };
  if (heldBy !== undefined) attributes['nestjs_pooling.acquire.held_by'] = heldBy;
  if (origin !== undefined && URL.canParse(origin)) {
    const { protocol, hostname, port } = new URL(origin);
    attributes['server.address'] = hostname;
    attributes['server.port'] = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  }
  return attributes;
}

export function transactionAttributes(operation: TransactionOperation): Attributes {
  const { pool, isolationLevel, accessMode, batchSize } = operation;
  const attributes: Attributes = { 'db.client.connection.pool.name': pool, 'db.system.name': 'postgresql' };
  if (isolationLevel !== undefined) attributes['nestjs_pooling.transaction.isolation_level'] = isolationLevel;
  if (accessMode !== undefined) attributes['nestjs_pooling.transaction.access_mode'] = accessMode;
  if (batchSize !== undefined) attributes['db.operation.batch.size'] = batchSize;
  return attributes;
}

/** The name of an exchange's span. */
export function exchangeName({ method, template }: ExchangeOperation): string {
  const shown = METHODS.has(method) ? method : 'HTTP';
  return template === undefined ? shown : `${shown} ${template}`;
}

export function exchangeAttributes(operation: ExchangeOperation): Attributes {
  const { method, url, template, host, port, resends } = operation;
  const known = METHODS.has(method);
  const attributes: Attributes = {
    'http.request.method': known ? method : '_OTHER',
    'url.full': url,
    'server.address': host,
    'server.port': port,
  };
  if (!known) attributes['http.request.method_original'] = method;
  if (template !== undefined) attributes['url.template'] = template;
  if (resends > 0) attributes['http.request.resend_count'] = resends;
  return attributes;
}
