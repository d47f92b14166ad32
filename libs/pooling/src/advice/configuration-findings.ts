import { counted, type Advice } from './advice.js';
import { groupBy } from './group-by.js';
import { serverOf, type AdvisedDatabase } from './advised.js';

/** Firewalls and load balancers drop idle connections after some minutes: a longer lifetime is a risk without checks. */
const LONGEST_UNCHECKED_LIFETIME_MS = 15 * 60_000;

/** `STALE_CONNECTION_RISK`: connections live long, and aren't checked before they are used. */
export function staleConnectionRisk(pool: AdvisedDatabase): Advice | undefined {
  const { prePing, maxLifetimeMs } = pool.configuration;
  if (prePing !== false) return undefined;
  if (maxLifetimeMs > 0 && maxLifetimeMs <= LONGEST_UNCHECKED_LIFETIME_MS) return undefined;
  const age = maxLifetimeMs === 0 ? 'without end' : `for up to ${Math.round(maxLifetimeMs / 60_000)} min`;
  return {
    code: 'STALE_CONNECTION_RISK',
    severity: 'warning',
    pool: pool.name,
    message:
      `${pool.name}: connections live ${age} and are used unchecked (prePing: false): one that a firewall or a ` +
      'restarted server dropped fails the first query on it. Turn prePing on, or set maxLifetimeMs to 900000 or less.',
    evidence: { prePing: false, maxLifetimeMs },
  };
}

/** `SAME_DATABASE_TWICE`: two pools of one application to the same database as the same user. */
export function sameDatabaseTwice(databases: readonly AdvisedDatabase[]): Advice[] {
  const groups = groupBy(databases, (database) => {
    const { target } = database.configuration;
    return JSON.stringify([serverOf(database), target.database, target.user]);
  });
  return [...groups.values()]
    .filter((group) => group.length > 1)
    .map((group) => {
      const { target } = (group[0] as AdvisedDatabase).configuration;
      const pools = group.map(({ name }) => name);
      const most = group.reduce((sum, pool) => sum + pool.statistics().max, 0);
      return {
        code: 'SAME_DATABASE_TWICE',
        severity: 'warning',
        pool: pools[0] as string,
        message:
          `${pools.join(', ')}: ${counted(pools.length, 'pool')} to the same database (${target.database} as ` +
          `${target.user}), together up to ${counted(most, 'connection')}. One pool of the same size serves the same ` +
          'load with less waiting; keep two only to hold connections back for work that must not starve.',
        evidence: { pools, database: target.database, most },
      };
    });
}
