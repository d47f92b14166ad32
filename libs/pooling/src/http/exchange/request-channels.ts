import type { AsyncResource } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { flatHeaders } from '../message/headers.js';
import type { WireRequest } from '../message/request.js';

const created = channel('undici:request:create');
const failed = channel('undici:request:error');

/** A request as undici's channels have it, as far as tracers read it. */
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
 * Tells undici's channels of an attempt whose socket could not be opened: undici never heard of it, and tracers make a
 * span of what they are told (https://undici.nodejs.org/#/docs/api/DiagnosticsChannel). In the context of its request.
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
