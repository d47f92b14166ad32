import { randomInt } from 'node:crypto';

/** PostgreSQL cuts `application_name` after so many bytes (`NAMEDATALEN` less one). */
const LONGEST_NAME = 63;
const ID_LENGTH = 6;
/** Larger figures are published as this one, so that a name has a longest form. */
const LARGEST_FIGURE = 99_999;
const LONGEST_COUNT = 6;
/** `#k3f9a2/99999.99999.zzzzzz` */
const LONGEST_SUFFIX = 1 + ID_LENGTH + 1 + 5 + 1 + 5 + 1 + LONGEST_COUNT;
const LONGEST_BASE = LONGEST_NAME - LONGEST_SUFFIX;

/** What a process publishes to its fleet, in the name of the connection on which it looked. */
export interface Publication {
  /** Connections that it may have, or claims. */
  readonly held: number;
  /** Connections that it would use if it could. */
  readonly wanted: number;
  /** The number of the publication: other connections may still carry older ones. */
  readonly look: number;
}

/** What a name in `pg_stat_activity` says of the fleet. */
export interface SeenName {
  readonly id: string;
  readonly publication: Publication | undefined;
}

/** An id for this process, unlike that of any other: six letters and digits. */
export function newInstanceId(): string {
  return randomInt(36 ** ID_LENGTH)
    .toString(36)
    .padStart(ID_LENGTH, '0');
}

let ownId: string | undefined;

/** The id of this process in every fleet that it belongs to. */
export function instanceId(): string {
  ownId ??= newInstanceId();
  return ownId;
}

/**
 * The beginning of the name that all processes of an application have: printable ASCII, because the server writes
 * `\xc3\xa4` for `ä`, and short enough that an id and figures fit behind it.
 */
export function fleetName(applicationName: string): string {
  const plain = applicationName.normalize('NFKD').replaceAll(/\p{M}+/gu, '');
  return plain.replaceAll(/[^\x20-\x7e]/gu, '_').slice(0, LONGEST_BASE);
}

/** The name of each new connection of a process: `orders#k3f9a2`. */
export function instanceName(fleet: string, id: string): string {
  return `${fleet}#${id}`;
}

/** The name of the connection that carries a publication: `orders#k3f9a2/17.12.3`. */
export function publishedName(instance: string, { held, wanted, look }: Publication): string {
  return `${instance}/${figure(held)}.${figure(wanted)}.${look.toString(36)}`;
}

function figure(count: number): number {
  return Math.min(Math.max(0, count), LARGEST_FIGURE);
}

const SUFFIX = /^#([0-9a-z]{6})(?:\/(\d{1,5})\.(\d{1,5})\.([0-9a-z]{1,6}))?$/;

/** Reads a name; `undefined`: it isn't one of this fleet's. */
export function readName(fleet: string, name: string): SeenName | undefined {
  if (!name.startsWith(fleet)) return undefined;
  const [, id, held, wanted, look] = SUFFIX.exec(name.slice(fleet.length)) ?? [];
  if (id === undefined) return undefined;
  if (held === undefined || wanted === undefined || look === undefined) return { id, publication: undefined };
  return { id, publication: { held: Number(held), wanted: Number(wanted), look: Number.parseInt(look, 36) } };
}
