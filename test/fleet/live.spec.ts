import { brokenClusterPromises, tryCluster } from './cluster-checks.js';
import { brokenPromises, tryFleet } from './live-checks.js';

/** `npm run fleet -- --processes 20 --budget 100` is the long form, and with `--cluster` that of the second test. */
describe('a fleet of real processes', { timeout: 240_000 }, () => {
  it('keeps to its budget and answers every request through a rolling restart, a death and a process that needs more than others', async () => {
    const lines: string[] = [];
    const trial = { processes: 3, budget: 12, checkMs: 1_000, loadMs: 1_000, atOnce: 1 };
    const report = await tryFleet(trial, (line) => lines.push(line));
    expect(brokenPromises(report), lines.join('\n')).toEqual([]);
    expect(report.requests.restart.served).toBeGreaterThan(10);
    expect(report.peak).toBeGreaterThanOrEqual(11);
    expect(report.busiest.ceiling).toBeGreaterThan(5);
    if (report.pooled !== undefined) expect(report.pooled.off).toBe(2);
  });

  it('fails no read when the primary of a cluster is killed, and writes again once a standby is promoted', async () => {
    const lines: string[] = [];
    const trial = { processes: 2, budget: 8, checkMs: 1_000, loadMs: 1_000 };
    const report = await tryCluster(trial, (line) => lines.push(line));
    expect(brokenClusterPromises(report, 10_000), lines.join('\n')).toEqual([]);
    expect(report.reads.served).toBeGreaterThan(10);
    expect(report.writes.served).toBeGreaterThan(10);
  });
});
