/** The weight of a run in the usual duration, and how many times that duration one run counts for at most. */
const LAST_RUN = { weight: 0.1, weightOfQuick: 0.5, most: 4 };

/** How long something usually takes. */
export class UsualDuration {
  /** In milliseconds; `Infinity` before the first run. */
  usualMs = Infinity;

  /** Notes how long a run took, in milliseconds. */
  learn(ms: number): void {
    if (this.usualMs === Infinity) this.usualMs = ms;
    // A quick run counts more: a slow one may have been held up.
    else if (ms < this.usualMs) this.usualMs += LAST_RUN.weightOfQuick * (ms - this.usualMs);
    else this.usualMs += LAST_RUN.weight * (Math.min(ms, LAST_RUN.most * this.usualMs + 0.1) - this.usualMs);
  }
}
