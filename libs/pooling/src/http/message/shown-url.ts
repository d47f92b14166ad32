import { showText } from '../../core/shown-text.js';

/** How much of a URL is shown, in characters. */
const SHOWN_LENGTH = 200;
const USER_AND_PASSWORD = /^([a-z][a-z\d+.-]*:)?([/\\]{2})[^/\\?#]*@/i;

/**
 * A URL as errors, logs and reports may show it: without user, password, query and fragment, which may hold secrets;
 * on one line, and 200 characters at most. The path stays, because it identifies the request: keep secrets out of it.
 */
export function shownUrl(url: string): string {
  return showText((url.split(/[?#]/, 1)[0] as string).replace(USER_AND_PASSWORD, '$1$2'), SHOWN_LENGTH);
}

/** The same of a request's origin and path, which may be a URL of its own when it goes to a proxy. */
export function shownRequestUrl({ origin, path }: { readonly origin: string; readonly path: string }): string {
  return path.startsWith('/') ? shownUrl(`${origin}${path}`) : `${shownUrl(origin)} ${shownUrl(path)}`;
}
