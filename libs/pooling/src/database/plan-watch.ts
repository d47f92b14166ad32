/** So many times the server plans a prepared statement for its own values before it may make one plan for all. */
const CUSTOM_PLANS = 5;
/** So many runs with the one plan come before it is first compared. */
const FIRST_COMPARISON = 100;
/** Each comparison without a verdict makes the next one come this much later. */
const PATIENCE = 4;
/** A comparison runs the statement at least so often each way. */
const RUNS_EACH_WAY = 30;
/** How many runs it takes to have so many each way, when chance decides. */
const RUNS = 80;
/** Which share and how many milliseconds the one plan must be slower on average to be given up. */
const WORSE = { share: 0.15, ms: 0.05 };
/** By how many standard errors, too: what the machine's other work does must not count. */
const STANDARD_ERRORS = 3;
/** A run that takes this much longer than usual is late: by a factor, and in milliseconds. */
const LATE = { factor: 8, ms: 2 };
/** With the one plan so many runs must have been late, and so many must be expected without it, to tell by them. */
const LATE_RUNS = { seen: 3, expected: 4 };
/** The weight of the last run in the time that a statement usually takes, and the most that one run counts for. */
const LAST_RUN = { weight: 0.1, weightOfQuick: 0.5, most: 4 };

/** Mean and variance of durations, by Welford's method. */
class Durations {
  count = 0;
  mean = 0;
  #squares = 0;

  add(ms: number): void {
    this.count++;
    const difference = ms - this.mean;
    this.mean += difference / this.count;
    this.#squares += difference * (ms - this.mean);
  }

  /** The variance of the mean. */
  get error(): number {
    return this.count < 2 ? Infinity : this.#squares / (this.count - 1) / this.count;
  }
}

/** Why a statement's one plan was given up. */
export interface PlanVerdict {
  /** How long it took on average with the one plan, in milliseconds. */
  readonly keptMs: number;
  /** How long it took when it was planned for its own values, planning included, in milliseconds. */
  readonly anewMs: number;
}

/**
 * Watches whether a prepared statement is worth it. From its sixth run on the server may use one plan for all values,
 * and guesses what it can't know: the limit, how frequent a value is. Where that is worse than planning each time, a query
 * becomes many times slower by being prepared (research: 0.3 ms became 30 ms).
 *
 * Now and then it lets runs alternate between both ways, so that they are compared under the same load, and tells by
 * their means, or by how often a run is late: on skewed data it is the rare run with a frequent value that suffers.
 */
export class PlanWatch {
  /** How long a run usually takes, in milliseconds; `Infinity` while nobody knows. */
  usualMs = Infinity;
  #kept = new Durations();
  #anew = new Durations();
  #runs = 0;
  #nextComparison = FIRST_COMPARISON;
  #gap = FIRST_COMPARISON;
  #comparing = 0;
  /** Of all runs either way. */
  readonly #all = { kept: 0, keptLate: 0, anew: 0, anewLate: 0 };

  readonly #random: () => number;

  /** @param random 0 ≤ number < 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Whether both ways are being compared: such a run should be disturbed by nothing. */
  get comparing(): boolean {
    return this.#comparing > 0;
  }

  /** Whether the run that comes now is to be planned for its own values. */
  takeTurn(): boolean {
    if (this.#comparing === 0) return false;
    this.#comparing--;
    // At random: whoever runs it may have a rhythm of their own.
    return this.#random() < 0.5;
  }

  /** Notes a run that was planned for its own values. Gives the verdict, once the one plan is known to be worse. */
  ranAnew(ms: number): PlanVerdict | undefined {
    this.#all.anew++;
    if (this.#isLate(ms)) this.#all.anewLate++;
    this.#anew.add(ms);
    return this.#judge();
  }

  /** Notes a run of the prepared statement, the `use`th on its connection. */
  ranKept(ms: number, use: number): PlanVerdict | undefined {
    const late = this.#isLate(ms);
    this.#learn(ms);
    if (use <= CUSTOM_PLANS) return undefined;
    this.#all.kept++;
    if (this.comparing || this.#kept.count > 0) this.#kept.add(ms);
    if (late) {
      this.#all.keptLate++;
      // Sooner than planned, but not again and again.
      this.#nextComparison = Math.min(this.#nextComparison, this.#runs + Math.floor(this.#gap / PATIENCE));
    }
    if (++this.#runs >= this.#nextComparison && !this.comparing) this.#compare();
    return this.#judge();
  }

  #compare(): void {
    this.#kept = new Durations();
    this.#anew = new Durations();
    this.#comparing = RUNS;
    this.#gap *= PATIENCE;
    this.#nextComparison = this.#runs + this.#gap;
  }

  #learn(ms: number): void {
    if (this.usualMs === Infinity) this.usualMs = ms;
    // A quick run shows what the statement takes, a slow one may have been held up.
    else if (ms < this.usualMs) this.usualMs += LAST_RUN.weightOfQuick * (ms - this.usualMs);
    else this.usualMs += LAST_RUN.weight * (Math.min(ms, LAST_RUN.most * this.usualMs + 0.1) - this.usualMs);
  }

  #isLate(ms: number): boolean {
    return ms > LATE.factor * this.usualMs + LATE.ms;
  }

  #judge(): PlanVerdict | undefined {
    if (this.#anew.count < RUNS_EACH_WAY || this.#kept.count < RUNS_EACH_WAY) return undefined;
    const verdict = { keptMs: this.#kept.mean, anewMs: this.#anew.mean };
    if (this.#slower() || this.#lateMoreOften()) return verdict;
    this.#kept = new Durations();
    this.#anew = new Durations();
    return undefined;
  }

  #slower(): boolean {
    const difference = this.#kept.mean - this.#anew.mean;
    const standardError = Math.sqrt(this.#kept.error + this.#anew.error);
    const least = Math.max(WORSE.ms, WORSE.share * this.#anew.mean, STANDARD_ERRORS * standardError);
    return difference > least;
  }

  #lateMoreOften(): boolean {
    const { kept, keptLate, anew, anewLate } = this.#all;
    const expected = (keptLate / kept) * anew;
    return keptLate >= LATE_RUNS.seen && expected >= LATE_RUNS.expected && anewLate <= expected / 4;
  }
}
