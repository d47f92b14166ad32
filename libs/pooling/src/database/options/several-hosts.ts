import { isIP } from 'node:net';
import { isHostName, type HostTarget } from './host-options.js';

/** One text for each host, or none: the parts between commas. */
interface HostLists {
  readonly hosts: readonly string[];
  readonly ports: readonly string[];
  readonly addresses: readonly string[];
}

const PARTS = ['first', 'second', 'third', 'fourth', 'fifth'];

/** The place of a host among several, in words. */
function place(at: number): string {
  return PARTS[at] ?? `${at + 1}th`;
}

function list(text: string | null | undefined): string[] {
  return text === null || text === undefined || text === '' ? [] : text.split(',');
}

/**
 * Puts together hosts, ports and addresses that come as separate lists, as in libpq's `host`, `port` and `hostaddr`: one port
 * for all, or one for each; an empty one is the default.
 *
 * @param problems - what is wrong is added here: which one, and never its text.
 */
export function targetsOfLists(
  { hosts, ports, addresses }: HostLists,
  defaultPort: number,
  problems: string[],
): HostTarget[] {
  const names = hosts.length === 0 ? addresses : hosts;
  if (addresses.length > 0 && addresses.length !== names.length) {
    problems.push(`hostaddr: ${addresses.length} for ${names.length} hosts; one for each`);
  }
  if (ports.length > 1 && ports.length !== names.length) {
    problems.push(`port: ${ports.length} for ${names.length} hosts; one for all, or one for each`);
  }
  return names.map((host, at) => {
    const port = (ports.length === 1 ? ports[0] : ports[at]) || String(defaultPort);
    const address = addresses[at] || undefined;
    if (!isHostName(host)) problems.push(`host: the ${place(at)} of ${names.length} is no name of a host`);
    if (!isPort(port)) problems.push(`port: the ${place(at)} of ${names.length} is not from 1 to 65535`);
    if (address !== undefined && isIP(address) === 0) {
      problems.push(`hostaddr: the ${place(at)} of ${names.length} is no address`);
    }
    return Object.freeze({ host, port: Number(port), ...(address === undefined ? undefined : { address }) });
  });
}

/** Whether a text is the number of a port. */
export function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
}

/** The hosts in libpq's variables. */
export function targetsOfEnvironment(
  { PGHOST, PGPORT, PGHOSTADDR }: NodeJS.ProcessEnv,
  defaultPort: number,
  problems: string[],
): HostTarget[] {
  const found: string[] = [];
  const lists = { hosts: list(PGHOST), ports: list(PGPORT), addresses: list(PGHOSTADDR) };
  const targets = targetsOfLists(lists, defaultPort, found);
  problems.push(...found.map((problem) => `PGHOST, PGPORT, PGHOSTADDR (environment): ${problem}`));
  return targets;
}

/** A URL of several hosts, taken apart. */
export interface SplitUrl {
  /** The URL with its first host alone, which `pg` can read. */
  readonly url: string;
  /** All of them; `undefined` where the URL names one, or none. */
  readonly targets: readonly HostTarget[] | undefined;
  readonly problems: readonly string[];
}

/** Parameters that may be lists. */
const LISTED = ['host', 'port', 'hostaddr'] as const;

/**
 * Takes a URL of several hosts apart, as libpq reads it: in the authority, or in the parameters `host`, `port` and
 * `hostaddr`, which win.
 */
export function splitUrl(url: string): SplitUrl {
  const [, scheme, credentials = '', authority = '', path = '', , query] =
    /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*@)?([^/?#]*)([^?#]*)(\?([^#]*))?$/i.exec(url) ?? [];
  if (scheme === undefined) return { url, targets: undefined, problems: [] };
  const parameters = new URLSearchParams(query);
  const named = LISTED.map((name) => list(parameters.get(name)));
  const [hosts = [], ports = [], addresses = []] = named;
  const several = authority.includes(',') || named.some((each) => each.length > 1) || addresses.length > 0;
  if (!several) return { url, targets: undefined, problems: [] };
  const problems: string[] = [];
  const inAuthority = authority === '' ? [] : authority.split(',').map((text, at) => partOf(text, at, problems));
  const targets = targetsOfLists(
    {
      hosts: hosts.length > 0 ? hosts : inAuthority.map(({ host }) => host),
      ports: ports.length > 0 ? ports : inAuthority.map(({ port }) => port),
      addresses,
    },
    5432,
    problems,
  );
  const rest = (query ?? '').split('&').filter((pair) => !(LISTED as readonly string[]).includes(pair.split('=')[0]!));
  const single = rest.filter((pair) => pair !== '').join('&');
  return {
    // The hosts are in `targets`: the URL has a name in their place that `pg` can read.
    url: `${scheme}${credentials}localhost${path}${single === '' ? '' : `?${single}`}`,
    targets,
    problems,
  };
}

/** `name:port`, `[address]:port`, or either without a port. */
function partOf(text: string, at: number, problems: string[]): { host: string; port: string } {
  const [, bracketed, plain, port = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) {
    problems.push(`host: the ${place(at)} is neither a name nor [an IPv6 address], with :port or without`);
    return { host: 'unknown', port: '' };
  }
  try {
    return { host: decodeURIComponent(host), port };
  } catch {
    problems.push(`host: the ${place(at)} holds a % that begins no character`);
    return { host: 'unknown', port };
  }
}
