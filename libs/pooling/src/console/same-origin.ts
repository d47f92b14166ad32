import type { IncomingHttpHeaders } from 'node:http';

/** A form, an image or a link of another site can't send a header of one's own. */
export const CONSOLE_HEADER = 'x-pool-console';

/**
 * Whether a request that changes something comes from the console's own page: it carries a header that only a script
 * can send, and the browser doesn't say that another origin sent it.
 */
export function isFromOwnPage(headers: IncomingHttpHeaders): boolean {
  if (headers[CONSOLE_HEADER] !== '1') return false;
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin';
  // Browsers leave that header out on plain HTTP; the origin is always there.
  const { origin } = headers;
  if (origin === undefined) return true;
  const forwarded = headers['x-forwarded-host'];
  const hosts = [headers.host, ...(typeof forwarded === 'string' ? forwarded.split(',') : [])];
  return URL.canParse(origin) && hosts.some((host) => host?.trim() === new URL(origin).host);
}
