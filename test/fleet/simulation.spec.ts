import fc from 'fast-check';
import { randomHistory, runSimulation } from './histories.js';
import { simulate } from './simulation.js';

/** `npm run fleet -- --simulate` runs 10,000 histories; `FLEET_RUNS=1000` digs deeper here, and shrinks what fails. */
const RUNS = Number(process.env['FLEET_RUNS'] ?? 150);

const history = fc.record({
  seed: fc.nat(),
  processes: fc.integer({ min: 1, max: 40 }),
  changes: fc.nat({ max: 6 }),
  min: fc.integer({ min: 1, max: 3 }),
  most: fc.integer({ min: 1, max: 60 }),
  budget: fc.integer({ min: 1, max: 1_200 }),
  slow: fc.constantFrom(0, 0.2, 1),
});

describe('the budget of a fleet, in a simulation', () => {
  it('is never exceeded by more than what has just started, and is shared fairly within four looks', () => {
    fc.assert(
      fc.property(history, (each) => {
        expect(simulate(each).problems).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  it('is shared by a thousand processes', () => {
    const findings = simulate({ ...randomHistory(1), processes: 1_000, budget: 5_000, most: 20, changes: 2 });
    expect(findings.processes).toBeGreaterThan(400);
    expect(findings).toMatchObject({ problems: [] });
    expect(findings.unfairness).toBeLessThanOrEqual(1);
  });

  it('is tried with histories at random, and what was found is told', () => {
    const lines: string[] = [];
    expect(runSimulation(10, 7, (line) => lines.push(line))).toBe(0);
    expect(lines.join('\n')).toMatch(/^10 histories from seed 7: 0 broken; up to \d+ processes, \d+ looks;/);
  });
});
