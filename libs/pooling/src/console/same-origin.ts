import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** A form, an image or a link of another site can't send a custom header. */
export const CONSOLE_HEADER = 'x-pool-console';

/**
 * Whether a request that changes something comes from the console's own page: it has a header that only a script can send, and
 * the browser says that this application served the page.
 *
 * `X-Forwarded-Host` proves nothing: where CORS is open, a script of any site may send it. On plain HTTP a name proves
 * nothing either, because its owner can point it here (DNS rebinding): only an address, `localhost` and `allowedHosts` count
 * there.
 */
export function isFromOwnPage(headers: IncomingHttpHeaders, allowedHosts: readonly string[] | undefined): boolean {
  if (headers[CONSOLE_HEADER] !== '1') return false;
  const site = headers['sec-fetch-site'];
  // Browsers send it over HTTPS and to localhost, where a name can't be rebound. No script can set it.
  if (site !== undefined) return site === 'same-origin';
  const { origin } = headers;
  // Clients that aren't browsers send no origin.
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const { host } = new URL(origin);
  return isAmong(host, allowedHosts ?? []) || (host === headers.host && isUnowned(host));
}

/** Whether the console is served under this host: without `allowedHosts` it is under any. */
export function isAllowedHost(host: string | undefined, allowedHosts: readonly string[] | undefined): boolean {
  return allowedHosts === undefined || (host !== undefined && (isUnowned(host) || isAmong(host, allowedHosts)));
}

function isAmong(host: string, allowedHosts: readonly string[]): boolean {
  const wanted = host.toLowerCase();
  return allowedHosts.some((each) => each.toLowerCase() === wanted || each.toLowerCase() === nameOf(wanted));
}

/** Whether it is no name that its owner could point elsewhere. */
function isUnowned(host: string): boolean {
  const name = nameOf(host.toLowerCase());
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0;
}

/** A host without its port. */
function nameOf(host: string): string {
  return host.replace(/:\d+$/, '');
}
