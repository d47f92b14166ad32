import type { ReplicaStatistics } from '../database/replicas/replica-statistics.js';
import { counted, inSeconds, type Advice } from './advice.js';
import type { AdvisedDatabase } from './advised.js';

/**
 * `REPLICAS_UNFIT`: reads that are meant for replicas go to fewer of them, or to the primary, because some are down or too far
 * behind. A primary that stands among them is no finding: with every server of a database in the list there always is one.
 */
export function replicasUnfit(pool: AdvisedDatabase): Advice | undefined {
  const { replicas } = pool.statistics();
  const maxLagMs = pool.configuration.replicas?.maxLagMs;
  if (replicas === undefined || maxLagMs === undefined) return undefined;
  const { reads, states } = replicas;
  // Nobody looks at them while nobody reads from them.
  if (reads.replica + reads.waited + reads.primary === 0) return undefined;
  const unfit = states.filter((state) => isUnfit(state, maxLagMs));
  if (unfit.length === 0) return undefined;
  const fit = states.filter((state) => state.fit).length;
  const left =
    fit === 0 ? 'All reads go to the primary' : `${counted(fit, 'replica')} ${fit === 1 ? 'serves' : 'serve'} them`;
  return {
    code: 'REPLICAS_UNFIT',
    severity: fit === 0 ? 'warning' : 'info',
    pool: pool.name,
    message: `${pool.name}: ${unfit.map(reasonOf).join('; ')} (maxLagMs: ${maxLagMs}). ${left}.`,
    evidence: { hosts: unfit.map(({ host }) => host), fit, maxLagMs },
  };
}

function isUnfit({ state, role, lagMs }: ReplicaStatistics, maxLagMs: number): boolean {
  return state === 'down' || (role === 'standby' && lagMs !== undefined && lagMs > maxLagMs);
}

function reasonOf({ host, state, lagMs = 0 }: ReplicaStatistics): string {
  return state === 'down' ? `the replica ${host} is down` : `the replica ${host} is ${inSeconds(lagMs)} behind`;
}
