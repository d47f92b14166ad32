import type { FleetTerms } from '#pooling/database/fleet/claim.js';
import type { FleetView, SeenProcess } from '#pooling/database/fleet/fleet-view.js';
import type { Publication } from '#pooling/database/fleet/published-name.js';
import { Standing } from '#pooling/database/fleet/standing.js';
import { SeededRandom } from '#test/support/random.js';
import { Agenda } from './agenda.js';

export const CHECK_MS = 5_000;
/** The longest time between two looks. */
const LONGEST_PERIOD_MS = CHECK_MS * 1.25;
/** A look that fails, or that claims something, is followed by another one so much later. */
const AGAIN_MS = CHECK_MS / 8;
/** So many looks of one process fail in a row. */
const MOST_FAILURES = 2;
/** The longest time that one look takes. */
const SLOWEST_LOOK_MS = 3_000;
/** The longest time that a connection beyond the ceiling is still in use. */
const LONGEST_QUERY_MS = 2_000;
/** After this every process has looked, has been seen, and has taken back what is too much. */
const INTERVAL_MS = LONGEST_PERIOD_MS + SLOWEST_LOOK_MS + LONGEST_QUERY_MS + MOST_FAILURES * AGAIN_MS;

/** What happens in one history. */
export interface History {
  readonly seed: number;
  readonly budget: number;
  readonly min: number;
  /** The most connections that the options of one process allow. */
  readonly most: number;
  readonly processes: number;
  readonly changes: number;
  /** 0 to 1: the share of looks that take up to three seconds, and see a part of the fleet earlier than another. */
  readonly slow: number;
}

/** What was found in one history. */
export interface Findings {
  readonly looks: number;
  readonly processes: number;
  /** The most that all could have at one time beyond the budget and the `min` of each that had just started. */
  readonly excess: number;
  /** The largest distance of a ceiling from its fair share, once settled. */
  readonly unfairness: number;
  /** How long after the last change the last ceiling changed. */
  readonly settledMs: number;
  readonly problems: readonly string[];
}

/** A process of the simulated fleet. Its pool uses all it may have and wants, at once. */
class SimulatedProcess implements SeenProcess {
  readonly id: string;
  readonly standing: Standing;
  publication: Publication | undefined = undefined;
  used = 0;
  demand: number;
  alive = true;
  failures = 0;

  constructor(
    id: string,
    demand: number,
    terms: FleetTerms,
    readonly startedAt: number,
  ) {
    this.id = id;
    this.demand = demand;
    this.standing = new Standing(id, terms);
  }

  /** What the server counts: a process that looks has a connection. */
  get connections(): number {
    return Math.max(1, this.used);
  }

  /** Opens what it wants and may have. What is too much stays until its queries are over. */
  fill(): void {
    if (this.used < this.standing.ceiling)
      this.used = Math.max(this.used, Math.min(this.standing.ceiling, this.demand));
  }
}

/** Runs one history of a fleet under a clock turned by hand, and looks at every step whether the promises hold. */
export function simulate(history: History): Findings {
  return new Simulation(history).run();
}

class Simulation {
  readonly #history: History;
  readonly #terms: FleetTerms;
  readonly #random: SeededRandom;
  readonly #agenda = new Agenda();
  readonly #problems: string[] = [];
  /** In order of their ids. */
  #processes: SimulatedProcess[] = [];
  #ids = 0;
  #looks = 0;
  /** The sum of what all may have or have. */
  #total = 0;
  #excess = -Infinity;
  #lastChangeAt = 0;
  #lastMoveAt = 0;
  /** Looks may fail until the last change. */
  #mayFail = true;
  /** When the latest processes started, in order. */
  readonly #starts: number[] = [];

  constructor(history: History) {
    this.#history = history;
    this.#terms = { connections: history.budget, min: history.min };
    this.#random = new SeededRandom(history.seed);
  }

  run(): Findings {
    const { changes } = this.#history;
    this.#startMany(this.#history.processes, 1 + this.#random.next() * 2 * CHECK_MS);
    for (let at = 0; at < changes; at++) {
      this.#runFor(this.#random.next() * 3 * CHECK_MS);
      this.#change();
    }
    this.#mayFail = false;
    this.#lastChangeAt = this.#agenda.lastStartAt;
    this.#runUntil(Math.max(this.#lastChangeAt, this.#agenda.now));
    this.#lastChangeAt = this.#agenda.now;
    this.#runFor(this.#fourLooksMs);
    const unfairness = this.#unfairness();
    if (unfairness > 1) this.#problem(`unfair by ${unfairness.toFixed(1)} after four looks`);
    const settledMs = Math.max(0, this.#lastMoveAt - this.#lastChangeAt);
    const movedAt = this.#lastMoveAt;
    this.#runFor(3 * LONGEST_PERIOD_MS);
    if (this.#lastMoveAt !== movedAt) this.#problem('a ceiling still changes after four looks');
    return {
      looks: this.#looks,
      processes: this.#processes.length,
      excess: this.#excess,
      unfairness,
      settledMs,
      problems: this.#problems,
    };
  }

  /** How long four looks take at most, and the queries that are under way then. */
  get #fourLooksMs(): number {
    return 4 * (LONGEST_PERIOD_MS + (this.#history.slow > 0 ? SLOWEST_LOOK_MS : 0)) + LONGEST_QUERY_MS;
  }

  #problem(text: string): void {
    this.#problems.push(`${(this.#agenda.now / 1_000).toFixed(1)} s: ${text}`);
  }

  #runFor(ms: number): void {
    this.#runUntil(this.#agenda.now + ms);
  }

  #runUntil(time: number): void {
    this.#agenda.runUntil(time);
  }

  /** Processes start and die, and what they want changes. */
  #change(): void {
    const count = this.#processes.length;
    const few = this.#random.between(1, Math.max(1, Math.ceil(count / 10)));
    this.#random.pick<() => void>([
      [3, () => this.#startMany(few, this.#random.next() * CHECK_MS)],
      [3, () => this.#kill(few)],
      [1, () => this.#startMany(Math.min(count + 1, 1_000 - count), this.#random.next() * 2 * CHECK_MS)],
      [1, () => this.#kill(Math.floor(count / 2))],
      [4, () => this.#redemand(few)],
      [1, () => this.#redemand(count)],
      [1, () => this.#forget(few)],
    ])();
  }

  #startMany(count: number, withinMs: number): void {
    for (let started = 0; started < count; started++) {
      this.#agenda.start(this.#random.next() * withinMs, () => this.#start());
    }
  }

  #start(): void {
    // Spread over the order of ids, whatever the order of their starts.
    const id = `${String(Math.floor(this.#random.next() * 1e6)).padStart(6, '0')}-${this.#ids++}`;
    const { now } = this.#agenda;
    const process = new SimulatedProcess(id, this.#randomDemand(), this.#terms, now);
    const place = this.#processes.findIndex((each) => each.id > id);
    this.#processes.splice(place < 0 ? this.#processes.length : place, 0, process);
    this.#starts.push(now);
    process.fill();
    this.#total += this.#weight(process);
    this.#check();
    this.#look(process, false);
  }

  #randomDemand(): number {
    const { most } = this.#history;
    return this.#random.pick([
      [2, 0],
      [3, this.#random.between(0, Math.min(most, 4))],
      [3, this.#random.between(0, most)],
      [1, most],
    ]);
  }

  #some(count: number): SimulatedProcess[] {
    const chosen = new Set<SimulatedProcess>();
    for (let at = 0; at < count && this.#processes.length > 0; at++) {
      chosen.add(this.#processes[this.#random.between(0, this.#processes.length - 1)] as SimulatedProcess);
    }
    return [...chosen];
  }

  #kill(count: number): void {
    for (const process of this.#some(count)) {
      if (this.#processes.length === 1) return;
      process.alive = false;
      this.#processes = this.#processes.filter((each) => each !== process);
      this.#total -= this.#weight(process);
    }
  }

  #redemand(count: number): void {
    for (const process of this.#some(count)) {
      process.standing.demand(process.demand);
      this.#changed(process, () => {
        process.demand = this.#randomDemand();
      });
    }
  }

  /** The connection that carries the publication is closed; the pool hears of it and looks again. */
  #forget(count: number): void {
    for (const process of this.#some(count)) {
      this.#changed(process, () => {
        process.publication = undefined;
        process.standing.unseen(process.used);
      });
      this.#agenda.after(1, () => this.#look(process, true, true));
    }
  }

  /** Does something that may change what a process has. */
  #changed(process: SimulatedProcess, change: () => void): void {
    const before = process.standing.ceiling;
    this.#total -= this.#weight(process);
    change();
    process.fill();
    this.#total += this.#weight(process);
    if (process.standing.ceiling !== before) this.#lastMoveAt = this.#agenda.now;
    if (process.standing.ceiling < 1) this.#problem(`${process.id} may have nothing`);
    this.#check();
    const excess = process.used - process.standing.ceiling;
    if (excess > 0) this.#agenda.after(this.#random.next() * LONGEST_QUERY_MS, () => this.#giveUp(process));
  }

  /** The queries on what is too much are over. */
  #giveUp(process: SimulatedProcess): void {
    if (!process.alive || process.used <= process.standing.ceiling) return;
    this.#total -= this.#weight(process);
    process.used = process.standing.ceiling;
    this.#total += this.#weight(process);
  }

  /** The most that a process may have at this moment: it could open it at once. */
  #weight({ used, standing }: SimulatedProcess): number {
    return Math.max(used, standing.ceiling);
  }

  #check(): void {
    while (this.#starts.length > 0 && (this.#starts[0] as number) < this.#agenda.now - INTERVAL_MS)
      this.#starts.shift();
    const { budget, min } = this.#history;
    // A process needs one connection to be seen at all.
    const floor = Math.max(budget, this.#processes.length);
    const excess = this.#total - floor - min * this.#starts.length;
    this.#excess = Math.max(this.#excess, excess);
    if (excess > 2) this.#problem(`${this.#total} connections, ${excess} more than may be`);
  }

  /** One look: it reads, decides and publishes, each some time after the other where it is slow. */
  #look(process: SimulatedProcess, again: boolean, extra = false): void {
    if (!process.alive) return;
    const next = (soon: boolean): void => {
      if (extra && !soon) return;
      const period = soon ? AGAIN_MS : CHECK_MS * (0.75 + this.#random.next() * 0.5);
      this.#agenda.after(period, () => this.#look(process, soon, extra));
    };
    if (this.#mayFail && process.failures < MOST_FAILURES && this.#random.next() < 0.05) {
      process.failures++;
      this.#agenda.after(AGAIN_MS, () => this.#look(process, again, extra));
      return;
    }
    process.failures = 0;
    this.#looks++;
    if (this.#random.next() >= this.#history.slow) return next(this.#read(process, again, this.#view, 0));
    const readMs = (this.#random.next() * SLOWEST_LOOK_MS) / 2;
    this.#readSlowly(readMs, (view) => {
      if (process.alive) next(this.#read(process, again, view, readMs));
    });
  }

  #read(process: SimulatedProcess, again: boolean, view: FleetView, delayMs: number): boolean {
    let raised = false;
    this.#changed(process, () => {
      const { standing, used } = process;
      standing.demand(process.demand);
      const { publication, held, ceiling } = standing.looked(view, { used, most: this.#history.most, again });
      raised = held > ceiling && held > used;
      if (publication === undefined) return;
      const publish = (): void => {
        if (!process.alive || (process.publication?.look ?? 0) > publication.look) return;
        process.publication = publication;
        standing.tell(publication);
      };
      if (delayMs === 0) publish();
      else this.#agenda.after(delayMs, publish);
    });
    return raised;
  }

  /** The present, for a look that takes no time. */
  get #view(): FleetView {
    return { unmanaged: 0, processes: this.#processes };
  }

  /** Reads half of the fleet at once and the other half when the look ends: a picture that never was. */
  #readSlowly(ms: number, done: (view: FleetView) => void): void {
    const early: SeenProcess[] = [];
    for (const process of this.#processes) {
      if (this.#random.next() < 0.5) early.push(seen(process));
    }
    this.#agenda.after(ms, () => {
      // Both are in order of their ids. Who has died since isn't seen any more.
      let at = 0;
      const late = this.#processes.map((process): SeenProcess => {
        while (at < early.length && early[at]!.id < process.id) at++;
        return early[at]?.id === process.id ? early[at]! : process;
      });
      done({ unmanaged: 0, processes: late });
    });
  }

  /** How far the ceiling that is furthest from its share is, by a reference that shares one connection after the other. */
  #unfairness(): number {
    const { budget, min, most } = this.#history;
    const wants = this.#processes.map(({ demand }) => Math.max(min, Math.min(demand, most)));
    const shares = referenceShares(wants, budget);
    let furthest = 0;
    this.#processes.forEach(({ standing }, index) => {
      const fair = Math.min(most, Math.max(1, shares[index] as number));
      furthest = Math.max(furthest, Math.abs(standing.ceiling - fair));
    });
    return furthest;
  }
}

function seen({ id, publication, connections }: SimulatedProcess): SeenProcess {
  return { id, publication, connections };
}

/**
 * Max-min fair shares as fractions, by the definition: everybody gets the same until they have what they want, and when all
 * have, those with the least get more.
 */
function referenceShares(wants: readonly number[], budget: number): number[] {
  const total = wants.reduce((sum, want) => sum + want, 0);
  const scarce = total > budget;
  const sorted = [...wants].sort((one, other) => (scarce ? one - other : other - one));
  let left = budget;
  for (const [index, want] of sorted.entries()) {
    const level = left / (sorted.length - index);
    const own = scarce ? want <= level : want >= level;
    if (!own) return wants.map((each) => (scarce ? Math.min(each, level) : Math.max(each, level)));
    left -= want;
  }
  return [...wants];
}
