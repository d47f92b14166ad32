import { delay } from '#pooling/testing/delay.js';
import { PostgresServer } from '#pooling/testing/postgres-server.js';
import { findPgBouncer, PgBouncer } from '#test/pgbouncer/pgbouncer.js';
import { LiveFleet } from './live-fleet.js';

/** How a fleet is tried. */
export interface FleetTrial {
  readonly processes: number;
  readonly budget: number;
  /** How often each looks, in milliseconds. */
  readonly checkMs: number;
  /** How long each kind of load is kept up, in milliseconds. */
  readonly loadMs: number;
  /** How many are replaced at once in a rolling restart. */
  readonly atOnce: number;
}

/** What was found. */
export interface FleetReport {
  /** The most connections on the server during the rolling restart, and the most there may be. */
  readonly peak: number;
  readonly allowed: number;
  /** Until others used what a killed process had, in milliseconds. */
  readonly takenOverMs: number;
  /** What the process with ten times the load got, and what the others left it. */
  readonly busiest: { readonly ceiling: number; readonly left: number };
  readonly served: number;
  readonly failures: Readonly<Record<string, number>>;
  /** The same through PgBouncer; `undefined`: it isn't installed. */
  readonly pooled:
    { readonly served: number; readonly failures: Readonly<Record<string, number>>; readonly off: number } | undefined;
}

const MIN = 2;

/** Tries a fleet of real processes on a real server, and tells what happens. */
export async function tryFleet(trial: FleetTrial, log: (line: string) => void): Promise<FleetReport> {
  const { processes, budget, checkMs } = trial;
  const spare = 20;
  const server = await PostgresServer.start({
    authentication: 'trust',
    maxConnections: budget + MIN * processes + spare,
  });
  try {
    log(`budget ${budget}, ${processes} processes, a look every ${checkMs} ms`);
    const fleet = await LiveFleet.start(server.url, { connections: budget, checkMs }, processes);
    const direct = await closing(fleet, () => tryDirect(trial, fleet, log));
    return { ...direct, pooled: await tryPooled(trial, server.url, log) };
  } finally {
    await server.close();
  }
}

/** Uses something and closes it, whatever happens. */
async function closing<Result>(resource: AsyncDisposable, use: () => Promise<Result>): Promise<Result> {
  try {
    return await use();
  } finally {
    await resource[Symbol.asyncDispose]();
  }
}

async function tryDirect(
  trial: FleetTrial,
  fleet: LiveFleet,
  log: (line: string) => void,
): Promise<Omit<FleetReport, 'pooled'>> {
  const { processes, budget, checkMs, loadMs, atOnce } = trial;
  const settledMs = 8 * checkMs + 15_000;
  fleet.load(budget * 2);
  await fleet.until('the whole budget is in use', () => fleet.connections >= budget - 2, settledMs);
  await delay(loadMs);
  log(`under load: ${await fleet.shares()}`);

  fleet.resetPeak();
  await fleet.rollingRestart(atOnce);
  const { peak } = fleet;
  log(`rolling restart, ${atOnce} at a time: peak ${peak} connections on the server`);
  await fleet.until('the whole budget is in use again', () => fleet.connections >= budget - 2, settledMs);
  log(`after it: ${await fleet.shares()}`);

  await fleet.kill(fleet.workers[0]!);
  const takenOverMs = await fleet.until(
    'others use what a killed process had',
    async () => (await fleet.open()) >= budget - 2,
    settledMs,
  );
  log(`one killed, its share in use by others after ${(takenOverMs / 1_000).toFixed(1)} s: ${await fleet.shares()}`);
  await fleet.add(1);
  await delay(loadMs);
  log(`one added: ${await fleet.shares()}`);
  await fleet.stopLoad();

  const busy = fleet.workers[0]!;
  for (const worker of fleet.workers) fleet.load(worker === busy ? 60 : 1, { to: worker });
  const of = async (): Promise<{ ceiling: number; left: number }> => {
    const all = await fleet.statistics();
    const others = all.slice(1).reduce((sum, { fleet: its }) => sum + (its?.ceiling ?? 0), 0);
    return { ceiling: all[0]!.fleet!.ceiling, left: Math.min(60, budget - others) };
  };
  await fleet.until(
    'the busiest has what the others leave',
    async () => {
      const { ceiling, left } = await of();
      return ceiling > budget / processes + 1 && Math.abs(ceiling - left) <= 1;
    },
    settledMs,
  );
  const busiest = await of();
  log(`one with many times the load of each other: ${await fleet.shares()}`);
  const last = await fleet.stopLoad();
  return {
    peak,
    allowed: budget + MIN * atOnce,
    takenOverMs,
    busiest,
    served: last.served,
    failures: last.failures,
  };
}

async function tryPooled(trial: FleetTrial, url: string, log: (line: string) => void): Promise<FleetReport['pooled']> {
  const program = findPgBouncer();
  if (program === undefined) {
    log('PgBouncer isn’t installed: left out');
    return undefined;
  }
  const processes = Math.max(2, Math.floor(trial.processes / 2));
  const bouncer = await PgBouncer.start(program, url, 20);
  return closing(bouncer, async () => {
    const budget = { connections: trial.budget, checkMs: trial.checkMs };
    const fleet = await LiveFleet.start(bouncer.url, budget, processes, url);
    return closing(fleet, () => tryThroughPooler(trial, fleet, log));
  });
}

async function tryThroughPooler(
  trial: FleetTrial,
  fleet: LiveFleet,
  log: (line: string) => void,
): Promise<NonNullable<FleetReport['pooled']>> {
  const processes = fleet.workers.length;
  fleet.load(4 * processes);
  await delay(trial.loadMs);
  await fleet.rollingRestart(Math.max(1, Math.floor(processes / 4)));
  const off = (await fleet.statistics()).filter(({ fleet: its }) => its?.state === 'off').length;
  const report = await fleet.stopLoad();
  log(
    `${processes} processes through PgBouncer, restarted one after the other: ${report.served} served, ` +
      `${JSON.stringify(report.failures)} failed, the budget off in ${off}`,
  );
  return { ...report, off };
}

/** What of the promises wasn't kept. */
export function brokenPromises(report: FleetReport): string[] {
  const broken: string[] = [];
  if (report.peak > report.allowed) broken.push(`${report.peak} connections at once, ${report.allowed} may be`);
  if (report.takenOverMs > 10_000)
    broken.push(`a killed process's share was taken over after ${report.takenOverMs} ms`);
  if (Object.keys(report.failures).length > 0) broken.push(`requests failed: ${JSON.stringify(report.failures)}`);
  if (report.pooled !== undefined && Object.keys(report.pooled.failures).length > 0) {
    broken.push(`requests failed through PgBouncer: ${JSON.stringify(report.pooled.failures)}`);
  }
  return broken;
}
