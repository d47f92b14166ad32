const USER_AND_PASSWORD = /^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/i;

/**
 * A request's URL without user and password, and with `REDACTED` for the values of secret parameters. A path may be a
 * URL of its own, when the request goes to a proxy.
 */
export function redactedUrl(origin: string, path: string, secrets: ReadonlySet<string>): string {
  const url = path.startsWith('/') ? `${origin}${path}` : path.replace(USER_AND_PASSWORD, '$1');
  const query = url.indexOf('?');
  if (query < 0) return url;
  const parameters = url
    .slice(query + 1)
    .split('&')
    .map((parameter) => redactedParameter(parameter, secrets));
  return `${url.slice(0, query + 1)}${parameters.join('&')}`;
}

function redactedParameter(parameter: string, secrets: ReadonlySet<string>): string {
  const name = parameter.split('=', 1)[0] as string;
  return name.length < parameter.length && secrets.has(decoded(name)) ? `${name}=REDACTED` : parameter;
}

/** A server reads `%73ig` as `sig`. */
function decoded(name: string): string {
  if (!name.includes('%')) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
