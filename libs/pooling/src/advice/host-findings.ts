import type { Advice } from './advice.js';
import type { AdvisedDatabase } from './advised.js';

/** `TWO_PRIMARIES`: an old primary runs without a fence, and takes writes that will be lost. */
export function twoPrimaries(pool: AdvisedDatabase): Advice | undefined {
  const { name } = pool;
  const old = (pool.statistics().hosts?.states ?? []).filter(({ supersededBy }) => supersededBy !== undefined);
  const primary = old[0]?.supersededBy;
  if (primary === undefined) return undefined;
  const superseded = old.map(({ host }) => host);
  return {
    code: 'TWO_PRIMARIES',
    severity: 'error',
    pool: name,
    message:
      `${name}: ${superseded.join(', ')} still takes writes, though ${primary} has taken over: it was promoted, and has the ` +
      `newer timeline. This pool writes to ${primary} alone; whoever else writes to the old one loses it. Stop it, and make ` +
      'it a standby before it is reached again.',
    evidence: { primary, superseded },
  };
}
