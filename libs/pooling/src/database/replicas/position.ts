/** A place in the log of a server: what is written moves it on, and a replica has what it has replayed up to there. */
export interface LogPosition {
  /** Each promotion begins another one. */
  readonly timeline: number;
  readonly lsn: bigint;
}

/** How a server divides its log, in bytes. */
export interface LogGeometry {
  readonly page: bigint;
  readonly segment: bigint;
}

/** What stands at the beginning of a page, and of a segment: a position right behind that is the end of what was before. */
const PAGE_HEADER = 0x18n;
const SEGMENT_HEADER = 0x28n;

/** `0/174C018`; `undefined`: it isn't one. */
export function parseLsn(text: unknown): bigint | undefined {
  const [, high, low] = /^([\dA-F]{1,8})\/([\dA-F]{1,8})$/i.exec(String(text)) ?? [];
  return high === undefined ? undefined : (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/**
 * The position that a replica gets to when it has all that was written before: where the primary writes next may be behind
 * the header of a page that nobody has begun, and on a quiet server replay never gets there.
 */
export function replayable(lsn: bigint, geometry: LogGeometry | undefined): bigint {
  if (geometry === undefined) return lsn;
  const { page, segment } = geometry;
  if (lsn % segment === SEGMENT_HEADER) return lsn - SEGMENT_HEADER;
  return lsn % page === PAGE_HEADER && lsn % segment !== PAGE_HEADER ? lsn - PAGE_HEADER : lsn;
}

/** The later of two positions. */
export function later(one: LogPosition | undefined, other: LogPosition | undefined): LogPosition | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  if (one.timeline !== other.timeline) return one.timeline > other.timeline ? one : other;
  return one.lsn >= other.lsn ? one : other;
}

/**
 * Whether a server that has replayed up to `replayed` has what was written before `needed`. Positions of an earlier timeline
 * say nothing about a later one: a replica may have gone on with the old primary.
 */
export function includes(replayed: LogPosition | undefined, needed: LogPosition): boolean {
  return replayed !== undefined && replayed.timeline >= needed.timeline && replayed.lsn >= needed.lsn;
}
