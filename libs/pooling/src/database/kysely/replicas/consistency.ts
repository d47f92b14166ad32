import type { Kysely } from 'kysely';
import { inRequest, keepRequests } from '../../../core/request-context.js';
import { accessWhenUsed } from '../../database-access.js';
import { readToken, tokenOf } from '../../replicas/consistency-token.js';
import { presentWrites, RequestWrites } from '../../replicas/request-writes.js';
import { AmbientAccess } from '../ambient/ambient-access.js';

/**
 * What the present request has written to a database, as a text of at most 200 characters: for a cookie or a job, so that the
 * next request, in whichever process, reads it with {@link withConsistency}. Outside of a request it is what this process has
 * written. `undefined` where nothing was written, or where the database has no replicas.
 *
 * ```ts
 * await db.updateTable('orders').set({ paid: true }).where('id', '=', id).execute();
 * const token = consistencyToken(db);
 * // later, in another process:
 * await withConsistency(token, () => replicaDb.selectFrom('orders').selectAll().where('id', '=', id).execute());
 * ```
 *
 * @param db what `@InjectDb()` or `@InjectReplicaDb()` gave.
 */
export function consistencyToken<DB>(db: Kysely<DB>): string | undefined {
  const way = AmbientAccess.of(db)?.way;
  if (way === undefined) return undefined;
  const { writes } = accessWhenUsed(way.joins ?? way.database);
  return writes === undefined ? undefined : tokenOf(writes.nameInTokens, writes.own);
}

/**
 * Runs `fn` as a request that has written what a token tells: reads from replicas see at least that. Whoever sends a token
 * that isn't true gets slower reads at the worst: they go to the primary.
 *
 * ```ts
 * const orders = await withConsistency(token, () => replicaDb.selectFrom('orders').selectAll().execute());
 * ```
 *
 * @param token what {@link consistencyToken} gave; `undefined`: nothing was written before.
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID` for a token that makes no sense.
 */
export function withConsistency<Result>(token: string | undefined, fn: () => Result): Result {
  const brought = token === undefined ? undefined : readToken(token);
  keepRequests();
  return inRequest({ writes: new RequestWrites(presentWrites(), brought) }, fn);
}
