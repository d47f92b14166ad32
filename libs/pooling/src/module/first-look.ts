import { Logger } from '@nestjs/common';
import { systemClock, type Clock } from '../core/clock.js';
import { describeCause } from '../core/errors.js';
import { explainConnectFailure } from '../database/connection/connect-failure.js';
import type { DatabasePool } from '../database/database-pool.js';

/** Without an answer by then, the log says so, in milliseconds. */
const SOON_MS = 900;

const logger = new Logger('DatabasePool');

function addressOf({ configuration: { target, addressFrom } }: DatabasePool): string {
  const { host, port, database, user } = target;
  const from = addressFrom === 'PG*' ? " (DATABASE_URL isn't set)" : '';
  return `database ${database} at ${host}:${port} as ${user}${from}`;
}

/** Why a pool has no connection: the real error behind the pool's own, and what it means, in words. */
export function connectFailureOf(pool: DatabasePool, error: unknown): { cause: unknown; words: string } {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const { advice } = explainConnectFailure(cause, pool.configuration.target);
  return { cause, words: `${describeCause(cause)}. ${advice}` };
}

/**
 * Opens one connection in the background when the application has started. When that fails, the log says within a second
 * what is wrong and what to set. The application stays up, and the pool goes on trying.
 *
 * Never rejects. The connection stays in the pool.
 */
export async function lookAtDatabase(pool: DatabasePool, clock: Clock = systemClock): Promise<void> {
  const { name, configuration } = pool;
  const slow = clock.setBackgroundTimeout(
    () => logger.warn(`${name}: no answer yet from ${addressOf(pool)}; still trying`),
    SOON_MS,
  );
  try {
    await pool.ping({ timeoutMs: configuration.connectTimeoutMs });
  } catch (error) {
    if (pool.ending) return;
    logger.error(
      `${name}: can't connect to ${addressOf(pool)}: ${connectFailureOf(pool, error).words} ` +
        'The application stays up and goes on trying; readiness fails until then.',
    );
  } finally {
    clock.clearTimeout(slow);
  }
}
