import { ACCOUNTS, CUSTOMERS, LAST_PAGE, ORDERS } from './schema.js';
import type { Candidate, NewEvent } from './candidate.js';

/** What candidates are asked to do. */
export const WORKLOADS = [
  'select-by-key',
  'four-table-join',
  'customer-join',
  'hundred-rows',
  'insert',
  'mixed',
  'transaction',
  'transaction-at-once',
  'batch',
] as const;
export type Workload = (typeof WORKLOADS)[number];

/** One in so many operations of the mixed workload is slow. */
export const SLOW_EVERY = 100;

/** One operation; `timed` tells whether its latency counts: in the mixed workload only the fast ones' does. */
export interface Operation {
  readonly timed: boolean;
  readonly done: Promise<unknown>;
}

function between(lowest: number, highest: number, random: () => number): number {
  return lowest + Math.floor(random() * (highest - lowest + 1));
}

/** The event that belongs to a number. */
export function eventOf(customerId: number): NewEvent {
  return {
    customer_id: customerId,
    kind: customerId % 2 === 0 ? 'viewed' : 'ordered',
    payload: `customer ${customerId} did something`,
  };
}

/** Starts one operation of a workload. */
export function operate(candidate: Candidate, workload: Workload, random: () => number): Operation {
  switch (workload) {
    case 'select-by-key':
      return { timed: true, done: candidate.selectByKey(between(1, CUSTOMERS, random)) };
    case 'four-table-join':
      return { timed: true, done: candidate.orderTotal(between(1, ORDERS, random)) };
    case 'customer-join':
      return { timed: true, done: candidate.customerTotals(between(1, CUSTOMERS, random)) };
    case 'hundred-rows':
      return { timed: true, done: candidate.hundredRows(between(0, LAST_PAGE, random)) };
    case 'insert':
      return { timed: true, done: candidate.insert(eventOf(between(1, CUSTOMERS, random))) };
    case 'mixed':
      if (random() < 1 / SLOW_EVERY) return { timed: false, done: candidate.slow() };
      return { timed: true, done: candidate.selectByKey(between(1, CUSTOMERS, random)) };
    case 'transaction':
    case 'transaction-at-once':
    case 'batch': {
      // The lower id first, so that two transactions never wait for each other.
      const from = between(1, ACCOUNTS - 1, random);
      const method = workload === 'transaction-at-once' ? 'transactionAtOnce' : workload;
      return { timed: true, done: candidate[method](from, between(from + 1, ACCOUNTS, random), 1) };
    }
  }
}

/** The results of a few operations of each kind, to be compared: every candidate has to give the same. */
export async function sample(candidate: Candidate): Promise<Record<string, unknown>> {
  const results: Record<string, unknown> = {};
  // Three times each: statements that are prepared on their second use take another way then.
  for (let round = 1; round <= 3; round++) {
    results[`select by key ${round}`] = await candidate.selectByKey(round * 7);
    results[`select by a key that isn't there ${round}`] = (await candidate.selectByKey(-round)) ?? null;
    results[`four-table join ${round}`] = await candidate.orderTotal(round * 11);
    results[`join of a customer's orders ${round}`] = await candidate.customerTotals(round * 11);
    results[`hundred rows ${round}`] = await candidate.hundredRows(round * 13);
    results[`insert ${round}`] = Number.isInteger(await candidate.insert(eventOf(round)));
    results[`transaction ${round}`] = await candidate.transaction(round, round + 10, 5);
    results[`transaction at once ${round}`] = await candidate.transactionAtOnce(round, round + 10, 5);
    results[`batch ${round}`] = await candidate.batch(round, round + 10, 5);
  }
  await candidate.slow();
  results['insert, many at once'] = (
    await Promise.all(Array.from({ length: 40 }, (_, index) => candidate.insert(eventOf(100 + index))))
  ).every(Number.isInteger);
  results['select by key, many at once'] = await Promise.all(
    Array.from({ length: 40 }, (_, index) => candidate.selectByKey(100 + index)),
  );
  return results;
}
