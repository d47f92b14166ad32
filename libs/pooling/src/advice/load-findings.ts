import { counted, type Advice } from './advice.js';
import type { AdvisedDatabase } from './advised.js';
import { RECOMMENDED_WAIT_MS, type PoolLoad } from './load.js';

/** With fewer arrivals than this nothing is said about a load. */
const FEWEST_ARRIVALS = 50;
/** Shorter windows than this aren't judged, in milliseconds. */
const SHORTEST_WINDOW_MS = 4_000;
/** A pool with fewer open connections than this isn't worth shrinking. */
const FEWEST_TO_SHRINK = 10;
/** How many times more open than needed is too many. */
const TOO_MANY = 3;

/** `POOL_TOO_SMALL`: acquires wait, or get nothing, because the load needs more connections than there may be. */
export function poolTooSmall(pool: AdvisedDatabase, load: PoolLoad): Advice | undefined {
  const { fleet, max, lastConnectError } = pool.statistics();
  const limited = fleet?.state === 'on' && fleet.ceiling <= max;
  const { recommended } = load;
  if (load.windowMs < SHORTEST_WINDOW_MS || load.arrivals < FEWEST_ARRIVALS) return undefined;
  // A server that is down makes acquires wait as well, and a larger pool wouldn't help.
  if (lastConnectError !== undefined || recommended.size <= max) return undefined;
  if (load.refused === 0 && !load.alwaysWaiting && load.meanWaitMs < RECOMMENDED_WAIT_MS) return undefined;
  const refused = load.refused === 0 ? '' : `, and ${load.refused} got nothing`;
  return {
    code: 'POOL_TOO_SMALL',
    severity: 'warning',
    pool: pool.name,
    message:
      `${pool.name}: ${load.acquiresPerSecond.toFixed(0)} acquires a second, each held for ` +
      `${load.meanUseMs.toFixed(1)} ms, need ${counted(recommended.size, 'connection')}; there may be ${max}${limited ? ', which is what the budget leaves' : ''}. ` +
      `They waited for ${load.meanWaitMs.toFixed(0)} ms on average${refused}. Raise ${limited ? 'budget.connections' : 'size'}, or make what holds them shorter.`,
    evidence: { ...evidenceOf(load), max, refused: load.refused },
  };
}

/** `POOL_TOO_LARGE`: far more connections are kept open than the load of the last minute needs. */
export function poolTooLarge(pool: AdvisedDatabase, load: PoolLoad): Advice | undefined {
  const { recommended, leastOpen, peakInUse } = load;
  if (load.arrivals < FEWEST_ARRIVALS || leastOpen < FEWEST_TO_SHRINK) return undefined;
  if (leastOpen < recommended.size * TOO_MANY || leastOpen < peakInUse * TOO_MANY) return undefined;
  return {
    code: 'POOL_TOO_LARGE',
    severity: 'info',
    pool: pool.name,
    message:
      `${pool.name}: ${leastOpen} connections were open all the time in the last ${(load.windowMs / 1000).toFixed(0)} s, ` +
      `at most ${peakInUse} in use; the load needs ${recommended.size}. Each idle one costs the server memory: lower ` +
      'minIdle, size or idleTimeoutMs.',
    evidence: { ...evidenceOf(load), leastOpen, peakInUse },
  };
}

function evidenceOf(load: PoolLoad): Record<string, number> {
  return {
    recommended: load.recommended.size,
    acquiresPerSecond: round(load.acquiresPerSecond),
    meanUseMs: round(load.meanUseMs),
    meanWaitMs: round(load.meanWaitMs),
    windowMs: Math.round(load.windowMs),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
