import { createHash } from 'node:crypto';
import { systemClock } from '../../core/clock.js';
import { refusal, refuseProblems, showType } from '../../core/validation.js';
import type { BroughtAlong } from './request-writes.js';
import { Written } from './written.js';

const VERSION = '1';
/** A token fits into a cookie and a header: names that are longer are told by their hash. */
const LONGEST_NAME = 120;
const ALLOWED = 'a text that consistencyToken() gave';

/** A token says that something was written, and not where that stands. */
const SOMEWHERE = '?';
/** Nobody needs to go to the primary for longer, whatever a token says, in milliseconds. */
const MOST_ON_PRIMARY_MS = 2_000;

/** The name of a database in tokens. */
export function nameInTokens(database: string): string {
  const encoded = encodeURIComponent(database);
  if (encoded.length <= LONGEST_NAME) return encoded;
  return `#${createHash('sha256').update(database).digest('base64url').slice(0, 22)}`;
}

/** What was written to a database, as a text; `undefined`: nothing was. */
export function tokenOf(nameInToken: string, written: readonly Written[]): string | undefined {
  const merged = new Written();
  for (const each of written) merged.include(each);
  const { position, primaryUntil, unknown } = merged;
  const leftMs = primaryUntil - systemClock.now();
  const prefix = `${VERSION}:${nameInToken}`;
  if (unknown > 0) return `${prefix}:${SOMEWHERE}`;
  if (leftMs > 0) return `${prefix}:@${Math.ceil(systemClock.wallNow() + leftMs).toString(36)}`;
  return position && `${prefix}:${position.timeline.toString(16)}-${position.lsn.toString(16)}`;
}

/**
 * What a token tells.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID` for what is none; its text isn't shown.
 */
export function readToken(token: unknown): BroughtAlong {
  const [, version, database = '', somewhere, until, timeline, lsn] =
    typeof token === 'string'
      ? (/^(\d):([^:]{1,200}):(?:(\?)|@([\da-z]{1,10})|([\da-f]{1,8})-([\da-f]{1,16}))$/.exec(token) ?? [])
      : [];
  if (version !== VERSION) {
    refuseProblems('withConsistency', [
      refusal('token', typeof token === 'string' ? `a text of ${token.length} characters` : showType(token), ALLOWED),
    ]);
  }
  const written = new Written();
  if (somewhere !== undefined) written.somewhere();
  else if (until !== undefined) {
    const leftMs = Number.parseInt(until, 36) - systemClock.wallNow();
    written.stick(systemClock.now() + Math.min(MOST_ON_PRIMARY_MS, leftMs));
  } else written.at({ timeline: Number.parseInt(timeline as string, 16), lsn: BigInt(`0x${lsn as string}`) });
  return { database, written };
}
