import type { FleetStatistics } from '../database/fleet/fleet-member.js';
import { counted, type Advice } from './advice.js';
import { serverOf, type AdvisedDatabase } from './advised.js';

/**
 * `FLEET_OVER_BUDGET`, one for each budget: the processes that share it are too many for it, or have more connections than it
 * allows.
 */
export function fleetsOverBudget(databases: readonly AdvisedDatabase[]): Advice[] {
  const found = new Map<string, Advice>();
  for (const pool of databases) {
    const { fleet } = pool.statistics();
    const { applicationName, budget, target } = pool.configuration;
    const key = JSON.stringify([serverOf(pool), applicationName, target.user]);
    if (fleet?.state !== 'on' || budget === undefined || found.has(key)) continue;
    const advice = overBudget(pool.name, fleet, budget.min);
    if (advice !== undefined) found.set(key, advice);
  }
  return [...found.values()];
}

function overBudget(pool: string, fleet: FleetStatistics, min: number): Advice | undefined {
  const { budget, connections, processes } = fleet;
  const least = processes * min;
  const evidence = { budget, connections, processes, min };
  if (least > budget) {
    const each = Math.floor(budget / processes);
    const left = each === 0 ? 'Each keeps one, which is more than the budget' : `Each gets ${each} when all need some`;
    return {
      code: 'FLEET_OVER_BUDGET',
      severity: processes > budget ? 'error' : 'warning',
      pool,
      message:
        `${pool}: ${processes} processes share ${counted(budget, 'connection')}, which isn't min (${min}) for ` +
        `each. ${left}. Raise budget.connections, run fewer processes, or put PgBouncer in front.`,
      evidence,
    };
  }
  if (connections <= budget) return undefined;
  return {
    code: 'FLEET_OVER_BUDGET',
    severity: 'warning',
    pool,
    message:
      `${pool}: ${counted(connections, 'connection')} are open of a budget of ${budget}, by ${processes} processes: some have ` +
      'just started, hold on to long queries, or have the same name and no budget. Where it lasts, give all of them ' +
      'the same budget.',
    evidence,
  };
}
