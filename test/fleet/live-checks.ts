import { delay } from '#pooling/testing/delay.js';
import { PostgresServer } from '#pooling/testing/postgres-server.js';
import { findPgBouncer, PgBouncer } from '#test/pgbouncer/pgbouncer.js';
import { LiveFleet, work } from './live-fleet.js';
import { wrongWith, type LoadReport } from './tally.js';
import type { WorkerSettings } from './worker-process.js';

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
  /** What became of the requests that were sent before and while all were replaced, around the kill, and afterwards. */
  readonly requests: Readonly<Record<'steady' | 'restart' | 'kill' | 'uneven', LoadReport>>;
  /** What the process that was killed had to answer. */
  readonly inFlightAtKill: number;
  /** Processes that didn't end in order. */
  readonly crashes: readonly string[];
  /** The same through PgBouncer; `undefined`: it isn't installed. */
  readonly pooled: PooledReport | undefined;
}

/** What was found of a fleet behind a pooler. */
export interface PooledReport {
  readonly processes: number;
  readonly requests: LoadReport;
  /** Processes whose budget is off. */
  readonly off: number;
  readonly crashes: readonly string[];
}

export const MIN = 2;
/** How long a process that leaves goes on to serve, in milliseconds. */
const DRAIN_DELAY_MS = 1_500;
const REQUEST = work(400);

/** Tries a fleet of real processes on a real server, and tells what happens. */
export async function tryFleet(trial: FleetTrial, log: (line: string) => void): Promise<FleetReport> {
  const { processes, budget, checkMs } = trial;
  const spare = 20;
  const server = await PostgresServer.start({
    authentication: 'trust',
    maxConnections: budget + MIN * processes + spare,
  });
  return closing(server, async () => {
    log(`budget ${budget}, ${processes} processes, a look every ${checkMs} ms`);
    const fleet = await LiveFleet.start(settingsOf(trial, server.url), processes);
    const direct = await closing(fleet, () => tryDirect(trial, fleet, log));
    return { ...direct, pooled: await tryPooled(trial, server.url, log) };
  });
}

/** Uses something and closes it, whatever happens. */
export async function closing<Result>(resource: AsyncDisposable, use: () => Promise<Result>): Promise<Result> {
  try {
    return await use();
  } finally {
    await resource[Symbol.asyncDispose]();
  }
}

/** What the processes of a trial are started with. */
export function settingsOf(
  { budget, checkMs }: Pick<FleetTrial, 'budget' | 'checkMs'>,
  url: string,
  readsStandbys = false,
): WorkerSettings {
  return { url, budget: { connections: budget, checkMs }, drainDelayMs: DRAIN_DELAY_MS, readsStandbys };
}

/** Whether no process may have more than one connection more than another. */
function isFair(all: readonly { readonly fleet?: { readonly ceiling: number } | undefined }[]): boolean {
  const ceilings = all.map(({ fleet }) => fleet?.ceiling ?? 0);
  return Math.max(...ceilings) - Math.min(...ceilings) <= 1;
}

async function tryDirect(
  trial: FleetTrial,
  fleet: LiveFleet,
  log: (line: string) => void,
): Promise<Omit<FleetReport, 'pooled'>> {
  const { processes, budget, checkMs, loadMs, atOnce } = trial;
  const settledMs = 8 * checkMs + 15_000;
  fleet.load(budget * 2, REQUEST);
  await fleet.until('the whole budget is in use', () => fleet.connections.now >= budget - 2, settledMs);
  await delay(loadMs);
  log(`under load: ${await fleet.shares()}`);
  const steady = await fleet.account(REQUEST);

  fleet.connections.resetPeak();
  await fleet.rollingRestart(atOnce);
  const { peak } = fleet.connections;
  const restart = await fleet.account(REQUEST);
  log(`rolling restart, ${atOnce} at a time: peak ${peak} connections on the server; ${inWords(restart)}`);
  await fleet.until('the whole budget is in use again', () => fleet.connections.now >= budget - 2, settledMs);
  // Whoever has just started has `min`: how long a share takes to be taken over is asked of a fleet at rest.
  await fleet.until('the shares are fair again', async () => isFair(await fleet.statistics()), settledMs);
  log(`after it: ${await fleet.shares()}`);

  const inFlightAtKill = await fleet.kill(fleet.workers[0]!);
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
  const kill = await fleet.account(REQUEST);
  log(`around the kill: ${inWords(kill)}; ${inFlightAtKill} were with the process that was killed`);

  const busy = fleet.workers[0]!;
  for (const worker of fleet.workers) fleet.load(worker === busy ? 60 : 1, REQUEST, worker);
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
  await fleet.stopLoad();
  const uneven = await fleet.account(REQUEST);
  return {
    peak,
    allowed: budget + MIN * atOnce,
    takenOverMs,
    busiest,
    requests: { steady, restart, kill, uneven },
    inFlightAtKill,
    crashes: fleet.crashes,
  };
}

async function tryPooled(
  trial: FleetTrial,
  serverUrl: string,
  log: (line: string) => void,
): Promise<PooledReport | undefined> {
  const program = findPgBouncer();
  if (program === undefined) {
    log('PgBouncer isn’t installed: left out');
    return undefined;
  }
  const processes = Math.max(2, Math.floor(trial.processes / 2));
  const bouncer = await PgBouncer.start(program, serverUrl, 20);
  return closing(bouncer, async () => {
    const fleet = await LiveFleet.start(settingsOf(trial, bouncer.url), processes, serverUrl);
    return closing(fleet, () => tryThroughPooler(trial, fleet, log));
  });
}

async function tryThroughPooler(
  trial: FleetTrial,
  fleet: LiveFleet,
  log: (line: string) => void,
): Promise<PooledReport> {
  const processes = fleet.workers.length;
  fleet.load(4 * processes, REQUEST);
  await delay(trial.loadMs);
  await fleet.rollingRestart(Math.max(1, Math.floor(processes / 4)));
  const off = (await fleet.statistics()).filter(({ fleet: its }) => its?.state === 'off').length;
  await fleet.stopLoad();
  const requests = await fleet.account(REQUEST);
  log(
    `${processes} processes through PgBouncer, restarted one after the other: ${inWords(requests)}, the budget off in ${off}`,
  );
  return { processes, requests, off, crashes: fleet.crashes };
}

/** What became of requests, in a line. */
export function inWords({ sent, served, failures, lost }: LoadReport): string {
  return `${sent} sent, ${served} answered, ${JSON.stringify(failures)} failed, ${lost} lost`;
}

/** What of the promises wasn't kept. */
export function brokenPromises(report: FleetReport): string[] {
  const { requests, pooled } = report;
  const broken: string[] = [];
  if (report.peak > report.allowed) broken.push(`${report.peak} connections at once, ${report.allowed} may be`);
  if (report.takenOverMs > 10_000)
    broken.push(`a killed process's share was taken over after ${report.takenOverMs} ms`);
  broken.push(
    ...wrongWith('under load', requests.steady),
    ...wrongWith('while all were replaced', requests.restart),
    ...wrongWith('around the kill', requests.kill, report.inFlightAtKill),
    ...wrongWith('with one that needs more', requests.uneven),
    ...report.crashes,
  );
  if (pooled !== undefined) broken.push(...wrongWith('through PgBouncer', pooled.requests), ...pooled.crashes);
  return broken;
}
