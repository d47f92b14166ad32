import { either, func, integer, isPlainObject, type Rule } from '../../core/validation.js';
import { describeCause } from '../../core/errors.js';

/**
 * One host of a database: a name, an address, or the folder of a Unix socket.
 *
 * ```ts
 * const hosts: HostAddress[] = [{ host: 'db1.internal' }, { host: 'db2.internal', port: 5433 }];
 * ```
 */
export interface HostAddress {
  readonly host: string;
  /** 5432 by default. */
  readonly port?: number;
}

/** Gives the present hosts; called again at each recheck. */
export type FindHosts = () => readonly HostAddress[] | Promise<readonly HostAddress[]>;

/**
 * Which of several hosts connections may be opened to: `read-write` takes one where sessions may write, `read-only` one
 * where they may not, `primary` and `standby` go by replication, `prefer-…` takes the other kind where there is no such one.
 */
export type TargetSessionAttrs =
  'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby' | 'prefer-primary';

/** What libpq's `target_session_attrs` may be, and `prefer-primary`. */
export const TARGET_SESSION_ATTRS: readonly TargetSessionAttrs[] = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
  'prefer-primary',
];

/** Whether hosts are tried in their order, or in another one at each dial. */
export type LoadBalanceHosts = 'disable' | 'random';

/** What `load_balance_hosts` may be. */
export const LOAD_BALANCE_HOSTS: readonly LoadBalanceHosts[] = ['disable', 'random'];

/** A host to dial. */
export interface HostTarget {
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string;
  /** From 1 to 65535. */
  readonly port: number;
  /** Where the host is, when it isn't to be looked up: libpq's `hostaddr`. */
  readonly address?: string | undefined;
}

const DEFAULT_PORT = 5432;

/** The name of a host in messages and labels. */
export function nameOfHost({ host, port }: HostTarget): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The target to dial for a host. */
export function targetOf({ host, port }: HostAddress): HostTarget {
  return Object.freeze({ host, port: port ?? DEFAULT_PORT });
}

/** Whether a text is the name of one host, an address, or the folder of a socket, and no part of a URL. */
export function isHostName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !/[@,]|:\/\/|\s/.test(value);
}

const ADDRESS_ALLOWED = 'an object with host, a name or an address, and perhaps port';
const port = integer({ min: 1, max: 65_535 });

/** What is wrong with one host. What may be a URL with a password isn't shown. */
function addressProblems(path: string, value: unknown): string[] {
  if (!isPlainObject(value)) return [`${path}: this is not allowed; ${ADDRESS_ALLOWED}`];
  const problems = Object.keys(value)
    .filter((name) => name !== 'host' && name !== 'port')
    .map(() => `${path}: a name that is neither host nor port; ${ADDRESS_ALLOWED}`);
  if (!isHostName(value['host'])) {
    problems.push(`${path}.host: this is not allowed; the name of one host, an address, or the folder of a socket`);
  }
  return [...problems, ...port.problems(`${path}.port`, value['port'])];
}

const LIST_ALLOWED = 'an array of { host, port }, not an empty one';

/** What is wrong with a list of hosts. */
export function hostListProblems(path: string, value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) return [`${path}: this is not allowed; ${LIST_ALLOWED}`];
  const problems = value.flatMap((each, at) => addressProblems(`${path}[${at}]`, each));
  if (problems.length > 0) return problems;
  const names = (value as HostAddress[]).map((each) => nameOfHost(targetOf(each)));
  return names.flatMap((name, at) =>
    names.indexOf(name) === at ? [] : [`${path}[${at}]: ${name} is given twice; once is allowed`],
  );
}

const hostList: Rule = {
  allowed: LIST_ALLOWED,
  problems: (path, value) => (value === undefined ? [] : hostListProblems(path, value)),
};

/** What the option `hosts` may be. */
export const hostsRule: Rule = either(func(), hostList);

/** Calls the user's function for the hosts, and checks what it gives. */
export async function findHosts(find: FindHosts): Promise<readonly HostTarget[]> {
  let found: unknown;
  try {
    found = await find();
  } catch (error) {
    throw new Error(`the function that gives the hosts failed: ${describeCause(error)}`, { cause: error });
  }
  const problems = hostListProblems('hosts()', found);
  if (problems.length > 0) throw new Error(`the function that gives the hosts is at fault: ${problems.join('; ')}`);
  return (found as HostAddress[]).map(targetOf);
}
