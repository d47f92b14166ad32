import { SeededRandom } from '#test/support/random.js';
import { simulate, type Findings, type History } from './simulation.js';

const LARGEST_FLEET = 1_000;

/** A history at random: fleets of one process and of a thousand, with much room and with less than one connection each. */
export function randomHistory(seed: number): History {
  const random = new SeededRandom(seed);
  const processes = random.next() < 0.01 ? LARGEST_FLEET : Math.floor(LARGEST_FLEET ** random.next());
  const most = random.between(1, 60);
  return {
    seed,
    processes,
    most,
    min: random.between(1, 3),
    budget: Math.max(
      1,
      Math.ceil(
        processes *
          most *
          random.pick([
            [1, random.next() / most],
            [4, random.next()],
            [1, 1.5],
          ]),
      ),
    ),
    changes: random.between(0, 6),
    slow: random.pick([
      [1, 0],
      [2, 0.2],
      [1, 1],
    ]),
  };
}

/** Runs so many histories, tells what was found, and returns how many broke a promise. */
export function runSimulation(histories: number, seed: number, log: (line: string) => void): number {
  const found: Findings[] = [];
  let failed = 0;
  for (let at = 0; at < histories; at++) {
    const history = randomHistory(seed + at);
    const findings = simulate(history);
    found.push(findings);
    if (findings.problems.length > 0) {
      failed++;
      log(`${JSON.stringify(history)}: ${findings.problems.slice(0, 3).join('; ')}`);
    }
    if ((at + 1) % 1_000 === 0) log(`${at + 1} histories, ${failed} broken`);
  }
  const most = (figure: (findings: Findings) => number): number =>
    found.reduce((max, each) => Math.max(max, figure(each)), -Infinity);
  log(
    `${histories} histories from seed ${seed}: ${failed} broken; up to ${most(({ processes }) => processes)} processes, ` +
      `${found.reduce((sum, { looks }) => sum + looks, 0)} looks; at most ${most(({ excess }) => excess)} beyond what may be, ` +
      `ceilings ${most(({ unfairness }) => unfairness).toFixed(1)} from fair, settled after ${(most(({ settledMs }) => settledMs) / 1_000).toFixed(1)} s`,
  );
  return failed;
}
