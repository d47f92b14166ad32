import type { Clock, Timer } from '../../core/clock.js';
import { PoolQueryTimeoutError } from '../../core/errors.js';
import type { DatabasePool } from '../database-pool.js';
import { shortenStatement } from '../query/shown-statement.js';

/** The streams that are open on one connection. */
export class OpenStreams {
  count = 0;
  /** When the reader got rows, and has asked for no more since, on the clock's scale. */
  offeredAt: number | undefined = undefined;
}

/** What waits for a turn behind streams. */
export interface BehindStreams {
  readonly clock: Clock;
  readonly pool: Pick<DatabasePool, 'name' | 'configuration'>;
  /** What wants to run. */
  readonly statement: string | undefined;
  /** Gives the turn back that comes too late. */
  left(): void;
}

/**
 * Resolves with the turn. Rejects when a stream is ahead whose reader has asked for nothing for `streamIdleTimeoutMs`: in a loop
 * over a stream, whoever awaits a statement of the same transaction waits for the stream, which waits for him.
 */
export async function behindStreams(
  open: OpenStreams,
  entered: Promise<void>,
  { clock, pool, statement, left }: BehindStreams,
): Promise<void> {
  const limitMs = pool.configuration.streamIdleTimeoutMs;
  if (limitMs === 0) return await entered;
  const since = clock.now();
  let timer: Timer | undefined;
  const late = new Promise<'late'>((resolve) => {
    const look = (): void => {
      const unreadMs = open.offeredAt === undefined ? 0 : clock.now() - Math.max(since, open.offeredAt);
      if (unreadMs >= limitMs) resolve('late');
      else timer = clock.setTimeout(look, limitMs - unreadMs);
    };
    timer = clock.setTimeout(look, limitMs);
  });
  const outcome = await Promise.race([entered, late]);
  clock.clearTimeout(timer as Timer);
  if (outcome !== 'late') return;
  void entered.then(left);
  throw new PoolQueryTimeoutError(
    pool.name,
    `${pool.name}: the statement was not sent: for ${limitMs} ms (streamIdleTimeoutMs) a stream of the same transaction was open ` +
      'ahead of it whose reader asked for no more rows. In a loop over a stream, await nothing else of the same transaction: read ' +
      'the rows first, or write in withoutTransaction()',
    {
      details: {
        timeoutMs: limitMs,
        ...(statement === undefined ? undefined : { statement: shortenStatement(statement) }),
      },
    },
  );
}
