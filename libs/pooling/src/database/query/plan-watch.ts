/** So many uses of a prepared statement are planned: five for their own values, and then it may make one plan for all. */
const CUSTOM_PLANS = 6;
/** So many runs with the one plan come before it is first compared. */
const FIRST_COMPARISON = 100;
/** Each comparison without a verdict makes the next one come this much later. */
const PATIENCE = 2;
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
/**
 * To tell by late runs, so many must have been late with the one plan and so many be expected of those without it, and of
 * the latter no more than this share may have been.
 */
const LATE_RUNS = { seen: 3, expected: 6, share: 1 / 8 };
/** Runs that are late within this time of each other were held up by the same stall, in milliseconds: they count as one. */
const STALL_MS = 20;
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

/** Which way a run goes that takes part in a comparison. */
export type PlanTurn = 'kept' | 'anew';

/** A run that is to be judged by. */
export interface PlannedRun {
  /** Which use of the statement on its connection it was; `undefined`: it was planned for its own values. */
  readonly use: number | undefined;
  /** Which way it went in a comparison of both. */
  readonly turn: PlanTurn | undefined;
  /** Whether others may have run on the same connection. */
  readonly shared: boolean;
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
 * their means, or by how often a run is late: on skewed data it is the rare run with a frequent value that suffers. Only
 * runs that have their connection for themselves are compared, and what one comparison says, a second one has to confirm:
 * a plan is given up for good.
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
  /** Whether the last comparison was for giving the one plan up. */
  #suspected = false;
  /** When a run was last late. */
  #lateAt = -Infinity;
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

  /** Which way the run goes that comes now; `undefined`: nothing is being compared. */
  takeTurn(): PlanTurn | undefined {
    if (this.#comparing === 0) return undefined;
    this.#comparing--;
    // At random: whoever runs it may have a rhythm of their own.
    return this.#random() < 0.5 ? 'anew' : 'kept';
  }

  /**
   * Notes a run that took so long and ended at a time, both in milliseconds. Gives the verdict, once the one plan is known
   * to be worse.
   */
  ran(run: PlannedRun, ms: number, at: number): PlanVerdict | undefined {
    const limit = this.#lateFrom;
    const late = ms > limit && at - this.#lateAt > STALL_MS;
    if (late) this.#lateAt = at;
    // What is later than late may have waited for the machine: it must not count for more.
    const counted = Math.min(ms, limit);
    if (run.use === undefined) this.#ranAnew(counted, late);
    else this.#ranKept(run, run.use, ms, counted, late);
    return this.#judge();
  }

  #ranAnew(counted: number, late: boolean): void {
    this.#all.anew++;
    if (late) this.#all.anewLate++;
    this.#anew.add(counted);
  }

  #ranKept({ turn, shared }: PlannedRun, use: number, ms: number, counted: number, late: boolean): void {
    this.#learn(ms);
    if (use <= CUSTOM_PLANS) return;
    if (turn === 'kept') this.#kept.add(counted);
    if (!shared) this.#all.kept++;
    if (late) {
      if (!shared) this.#all.keptLate++;
      // Sooner than planned, but not again and again.
      this.#nextComparison = Math.min(this.#nextComparison, this.#runs + Math.floor(this.#gap / PATIENCE));
    }
    if (++this.#runs >= this.#nextComparison && !this.comparing) this.#compare();
  }

  #compare(): void {
    this.#forget();
    this.#suspected = false;
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

  /** Longer runs are late, in milliseconds; none is while nobody knows how long they usually take. */
  get #lateFrom(): number {
    return LATE.factor * this.usualMs + LATE.ms;
  }

  #judge(): PlanVerdict | undefined {
    const needed = this.#suspected ? 2 * RUNS_EACH_WAY : RUNS_EACH_WAY;
    if (this.#anew.count < needed || this.#kept.count < needed) return undefined;
    const worse = this.#slower() || this.#lateMoreOften();
    if (worse && this.#suspected) return { keptMs: this.#kept.mean, anewMs: this.#anew.mean };
    this.#suspected = worse;
    if (worse) this.#comparing = RUNS;
    else this.#forget();
    return undefined;
  }

  #forget(): void {
    this.#kept = new Durations();
    this.#anew = new Durations();
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
    return keptLate >= LATE_RUNS.seen && expected >= LATE_RUNS.expected && anewLate <= LATE_RUNS.share * expected;
  }
}
