import type { CompiledQuery, Log } from 'kysely';
import type { Opening } from '../query/opening.js';
import { commandQuery } from './command-query.js';

/** Whether Kysely's log hears of queries or their errors. */
export function isLogging(log: Log): boolean {
  return log.isLevelEnabled('query') || log.isLevelEnabled('error');
}

/** Tells Kysely's log of a query and how it ended. */
export async function logged<Answer>(log: Log, query: CompiledQuery, run: () => Promise<Answer>): Promise<Answer> {
  const startedAt = performance.now();
  const duration = (): number => performance.now() - startedAt;
  let answer: Answer;
  try {
    answer = await run();
  } catch (error) {
    await log.error(() => ({ level: 'error', error, query, queryDurationMillis: duration() }));
    throw error;
  }
  await log.query(() => ({ level: 'query', query, queryDurationMillis: duration() }));
  return answer;
}

/** Tells Kysely's log of a query, and before that of the `BEGIN` that leaves with it; `undefined`: none does. */
export function loggedBeginning<Answer>(
  log: Log,
  opening: Opening | undefined,
  query: CompiledQuery,
  run: () => Promise<Answer>,
): Promise<Answer> {
  return logged(log, query, async () => {
    const running = run();
    if (opening === undefined) return await running;
    const begun = async (): Promise<void> => {
      await running.catch((error: unknown) => {
        if (error === opening.error) throw error;
      });
    };
    await logged(log, commandQuery(opening.text), begun).catch(async (error: unknown) => {
      await running;
      throw error;
    });
    return await running;
  });
}

/** Tells Kysely's log of a stream and how it ended. */
export async function* loggedStream<Item>(
  log: Log,
  query: CompiledQuery,
  stream: AsyncIterableIterator<Item>,
): AsyncIterableIterator<Item> {
  const startedAt = performance.now();
  const duration = (): number => performance.now() - startedAt;
  let failed = false;
  try {
    yield* stream;
  } catch (error) {
    failed = true;
    await log.error(() => ({ level: 'error', error, query, queryDurationMillis: duration() }));
    throw error;
  } finally {
    // Also when its reader has stopped early.
    if (!failed) await log.query(() => ({ level: 'query', isStream: true, query, queryDurationMillis: duration() }));
  }
}
