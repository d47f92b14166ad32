import type { AsyncResource } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { flatHeaders } from '../message/headers.js';
import type { WireRequest } from '../message/request.js';

const created = channel('undici:request:create');
const failed = channel('undici:request:error');

/** The fields of a request in undici's channels that tracers read. */
interface ToldRequest {
  readonly origin: string;
  readonly method: string;
  readonly path: string;
  readonly headers: string[];
  readonly body: null;
  readonly completed: boolean;
  readonly aborted: boolean;
  addHeader(name: string, value: string): ToldRequest;
}

/**
 * Publishes an attempt whose socket could not be opened on undici's channels, in the context of its request. undici never
 * saw that attempt, and tracers make spans of its messages (https://undici.nodejs.org/#/docs/api/DiagnosticsChannel).
 */
export function tellUnsent({ origin, method, path, headers }: WireRequest, error: Error, context: AsyncResource): void {
  if (!created.hasSubscribers && !failed.hasSubscribers) return;
  const lines = flatHeaders(headers);
  const request: ToldRequest = {
    origin,
    method,
    path,
    headers: lines,
    body: null,
    completed: false,
    aborted: false,
    addHeader: (name, value) => {
      lines.push(name, value);
      return request;
    },
  };
  context.runInAsyncScope(() => {
    created.publish({ request });
    failed.publish({ request, error });
  });
}
