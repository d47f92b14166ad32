import { delay } from '#pooling/testing/delay.js';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';
import { closing, inWords, MIN, settingsOf } from './live-checks.js';
import { LiveFleet, type Asked } from './live-fleet.js';
import { wrongWith, type LoadReport } from './tally.js';

/** How a fleet on a cluster is tried. */
export interface ClusterTrial {
  readonly processes: number;
  readonly budget: number;
  /** How often each looks, in milliseconds. */
  readonly checkMs: number;
  /** How long the load is kept up before and after the fail-over, in milliseconds. */
  readonly loadMs: number;
}

/** What was found. */
export interface ClusterReport {
  readonly reads: LoadReport;
  readonly writes: LoadReport;
  /** Writes that were asked for at one time, and so might be in flight when the primary was killed. */
  readonly writers: number;
  /** From the promotion to the first write, in milliseconds. */
  readonly writesBackMs: number;
  /** The most connections on the new primary, and the most there may be: every process starts there. */
  readonly peak: number;
  readonly allowed: number;
  readonly crashes: readonly string[];
}

const READ: Asked = { method: 'GET', path: () => '/read?ms=20' };

/** Numbers the rows that are written. */
class Writes implements Asked {
  readonly method = 'POST';
  sent = 0;

  path(): string {
    return `/write?id=${this.sent++}`;
  }
}

/**
 * Tries a fleet of real processes on a primary and two standbys, which it reads from: the primary is killed under load, a
 * standby promoted, and the old primary taken back.
 */
export async function tryCluster(trial: ClusterTrial, log: (line: string) => void): Promise<ClusterReport> {
  const { processes, budget } = trial;
  const maxConnections = budget + (MIN + 10) * processes + 20;
  const cluster = await PostgresCluster.start({ authentication: 'trust', maxConnections });
  return closing(cluster, async () => {
    const { primary } = cluster;
    await primary.ask('create table written (id int primary key)');
    await cluster.caughtUp();
    const fleet = await LiveFleet.start(settingsOf(trial, cluster.url, true), processes, primary.server.url);
    return closing(fleet, () => failOver(trial, cluster, fleet, log));
  });
}

async function failOver(
  { processes, budget, loadMs }: ClusterTrial,
  cluster: PostgresCluster,
  fleet: LiveFleet,
  log: (line: string) => void,
): Promise<ClusterReport> {
  const first = cluster.primary;
  const write = new Writes();
  const writers = 2 * processes;
  fleet.load(2 * processes, READ);
  fleet.load(writers, write);
  await delay(loadMs);
  log(`${processes} processes on a primary and two standbys: ${await fleet.shares()}`);

  await first.kill();
  await delay(loadMs / 4);
  const best = await mostAdvanced(cluster);
  await fleet.connections.on(best.server.url);
  const [writesBackMs] = await Promise.all([writesBack(fleet, write, best), cluster.promote(best)]);
  log(`the primary killed, ${best.name} promoted: writes were back after ${Math.round(writesBackMs)} ms`);
  await cluster.rejoin(first);
  await delay(loadMs);
  log(`${first.name} is back as a standby: ${await fleet.shares()}`);
  await fleet.stopLoad();
  const [reads, writes] = [await fleet.account(READ), await fleet.account(write)];
  log(`reads: ${inWords(reads)}`);
  log(`writes: ${inWords(writes)}`);
  return {
    reads,
    writes,
    writers,
    writesBackMs,
    peak: fleet.connections.peak,
    allowed: budget + MIN * processes,
    crashes: fleet.crashes,
  };
}

/** The standby that has received most: the others can follow it without a copy of its data. */
async function mostAdvanced(cluster: PostgresCluster): Promise<ClusterNode> {
  let best: ClusterNode | undefined;
  let most = -1;
  for (const node of cluster.nodes) {
    if (node === cluster.primary) continue;
    const received = await node.received();
    if (received > most) [best, most] = [node, received];
  }
  return best as ClusterNode;
}

/** How long after its promotion a server has taken the first write. */
async function writesBack(fleet: LiveFleet, write: Asked, node: ClusterNode): Promise<number> {
  const deadline = performance.now() + 60_000;
  while ((await node.role()) !== 'primary') {
    if (performance.now() > deadline) throw new Error(`${node.name} wasn’t promoted`);
    await delay(5);
  }
  const promotedAt = performance.now();
  return Math.max(0, (await fleet.tallyOf(write).nextServed()) - promotedAt);
}

/**
 * What of the promises wasn't kept.
 *
 * @param withinMs - how long after the promotion writes have to be back.
 */
export function brokenClusterPromises(report: ClusterReport, withinMs: number): string[] {
  const { reads, writes, writers } = report;
  const broken = [...wrongWith('reads', reads), ...report.crashes];
  const failed = Object.values(writes.failures).reduce((sum, count) => sum + count, 0);
  // What was in flight in the server that was killed: nobody knows whether it was done.
  if (failed > writers) broken.push(...wrongWith('writes', writes));
  if (writes.served + failed !== writes.sent) broken.push(...wrongWith('writes', writes));
  if (report.writesBackMs > withinMs) broken.push(`writes were back after ${Math.round(report.writesBackMs)} ms`);
  if (report.peak > report.allowed)
    broken.push(`${report.peak} connections at once on the new primary, ${report.allowed} may be`);
  return broken;
}
