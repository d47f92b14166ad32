import { UsualDuration } from './usual-duration.js';

/** The server makes custom plans for the first five uses of a statement; the sixth may get the generic plan. */
const CUSTOM_PLANS = 6;
/** The first comparison begins after this many runs with the generic plan. */
const FIRST_COMPARISON = 100;
/** After a comparison without a verdict the next one waits this many times as long. */
const PATIENCE = 2;
/** A comparison needs at least this many runs with each kind of plan. */
const RUNS_EACH_WAY = 30;
/** How many runs a comparison takes: each gets its kind of plan at random, and this many give enough of both. */
const RUNS = 80;
/** The generic plan is given up when it is slower on average by this share and by this many milliseconds. */
const WORSE = { share: 0.15, ms: 0.05 };
/** The difference must be this many standard errors, so that noise of the machine doesn't count. */
const STANDARD_ERRORS = 3;
/** A run that takes this much longer than usual is late: by a factor, and in milliseconds. */
const LATE = { factor: 8, ms: 2 };
/**
 * A verdict by late runs needs this many late runs with the generic plan, this many late runs expected of custom plans if
 * they were as bad, and at most this share of those seen.
 */
const LATE_RUNS = { seen: 3, expected: 6, share: 1 / 8 };
/** Runs that are late within this time of each other were held up by the same stall, in milliseconds: they count as one. */
const STALL_MS = 20;

/**
 * Whether the server may have run a use with one plan for all values.
 *
 * @param use which one on its connection it was; `undefined`: it was planned for its own values.
 */
export function mayBeGeneric(use: number | undefined): boolean {
  return use !== undefined && use > CUSTOM_PLANS;
}

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

/** The kind of plan that a run in a comparison gets. */
export type PlanTurn = 'generic' | 'custom';

/** A run that counts for the comparison. */
export interface PlannedRun {
  /** Which use of the statement on its connection it was; `undefined`: it had a custom plan. */
  readonly use: number | undefined;
  /** The kind of plan it got in a comparison; `undefined`: nothing was being compared. */
  readonly turn: PlanTurn | undefined;
  /** Whether others may have run on the same connection. */
  readonly shared: boolean;
}

/** Why a statement's generic plan was given up. */
export interface PlanVerdict {
  /** The mean with the generic plan, in milliseconds. */
  readonly genericMs: number;
  /** The mean with custom plans, planning included, in milliseconds. */
  readonly customMs: number;
}

/**
 * Watches whether the generic plan of a prepared statement is worth it. From the sixth run on the server may use a generic plan,
 * which guesses what it can't know: the limit, how frequent a value is. A wrong guess can make a query many times slower.
 *
 * From time to time runs alternate between generic and custom plans, so that both are compared under the same load: by
 * their means, and by how often a run is late, because on skewed data only the rare run with a frequent value suffers.
 * Only runs that have their connection for themselves are compared. A second comparison must confirm the first, because
 * the generic plan is given up for good.
 */
export class PlanWatch extends UsualDuration {
  #generic = new Durations();
  #custom = new Durations();
  #runs = 0;
  #nextComparison = FIRST_COMPARISON;
  #gap = FIRST_COMPARISON;
  #comparing = 0;
  /** Whether the last comparison found the generic plan worse. */
  #suspected = false;
  /** When a run was last late, in milliseconds. */
  #lateAt = -Infinity;
  /** Run counts for generic and custom plans. */
  readonly #all = { generic: 0, genericLate: 0, custom: 0, customLate: 0 };

  readonly #random: () => number;

  /** @param random 0 ≤ number < 1. */
  constructor(random: () => number = Math.random) {
    super();
    this.#random = random;
  }

  /** Whether plans are being compared: nothing should disturb such runs. */
  get comparing(): boolean {
    return this.#comparing > 0;
  }

  /** The kind of plan for the next run; `undefined`: nothing is being compared. */
  takeTurn(): PlanTurn | undefined {
    if (this.#comparing === 0) return undefined;
    this.#comparing--;
    // At random: the caller's own pattern must not decide.
    return this.#random() < 0.5 ? 'custom' : 'generic';
  }

  /**
   * Notes a run: how long it took and when it ended, in milliseconds. Returns a verdict when the generic plan is known to be
   * worse.
   */
  ran(run: PlannedRun, ms: number, at: number): PlanVerdict | undefined {
    const limit = this.#lateFrom;
    const late = ms > limit && at - this.#lateAt > STALL_MS;
    if (late) this.#lateAt = at;
    // A very late run may have waited for the machine: it counts as just late.
    const counted = Math.min(ms, limit);
    if (run.use === undefined) this.#ranCustom(counted, late);
    else this.#ranGeneric(run, run.use, ms, counted, late);
    return this.#judge();
  }

  #ranCustom(counted: number, late: boolean): void {
    this.#all.custom++;
    if (late) this.#all.customLate++;
    this.#custom.add(counted);
  }

  #ranGeneric({ turn, shared }: PlannedRun, use: number, ms: number, counted: number, late: boolean): void {
    this.learn(ms);
    if (!mayBeGeneric(use)) return;
    if (turn === 'generic') this.#generic.add(counted);
    if (!shared) this.#all.generic++;
    if (late) {
      if (!shared) this.#all.genericLate++;
      // A late run brings the next comparison forward, but only by half.
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

  /** Longer runs are late, in milliseconds; before the first run none is. */
  get #lateFrom(): number {
    return LATE.factor * this.usualMs + LATE.ms;
  }

  #judge(): PlanVerdict | undefined {
    const needed = this.#suspected ? 2 * RUNS_EACH_WAY : RUNS_EACH_WAY;
    if (this.#custom.count < needed || this.#generic.count < needed) return undefined;
    const worse = this.#slower() || this.#lateMoreOften();
    if (worse && this.#suspected) {
      this.#comparing = 0;
      return { genericMs: this.#generic.mean, customMs: this.#custom.mean };
    }
    this.#suspected = worse;
    if (worse) this.#comparing = RUNS;
    else this.#forget();
    return undefined;
  }

  #forget(): void {
    this.#generic = new Durations();
    this.#custom = new Durations();
  }

  #slower(): boolean {
    const difference = this.#generic.mean - this.#custom.mean;
    const standardError = Math.sqrt(this.#generic.error + this.#custom.error);
    const least = Math.max(WORSE.ms, WORSE.share * this.#custom.mean, STANDARD_ERRORS * standardError);
    return difference > least;
  }

  #lateMoreOften(): boolean {
    const { generic, genericLate, custom, customLate } = this.#all;
    const expected = (genericLate / generic) * custom;
    return genericLate >= LATE_RUNS.seen && expected >= LATE_RUNS.expected && customLate <= LATE_RUNS.share * expected;
  }
}
