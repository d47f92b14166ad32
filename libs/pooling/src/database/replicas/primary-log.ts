/** A place where the primary's log was, and when that was seen first. */
interface Mark {
  readonly lsn: bigint;
  readonly at: number;
}

/** At a look a second these reach back for a quarter of an hour. */
const MOST_MARKS = 900;

/**
 * Where the primary's log was at which time, so that it is known how old what a replica lacks is, without any privilege.
 * `now() - pg_last_xact_replay_timestamp()` alone grows on a quiet primary.
 */
export class PrimaryLog {
  #marks: Mark[] = [];

  /** The primary was seen at a position. */
  note(lsn: bigint, at: number): void {
    const last = this.#marks.at(-1);
    if (last !== undefined && last.lsn === lsn) return;
    // A new primary begins where the old one wasn't yet.
    if (last !== undefined && last.lsn > lsn) this.#marks = [];
    this.#marks.push({ lsn, at });
    if (this.#marks.length > MOST_MARKS) this.#marks.shift();
  }

  /** How much of the primary's log, as it was seen last, a replica hasn't replayed, in bytes; `undefined`: it was never seen. */
  lagBytes(replayed: bigint): number | undefined {
    const last = this.#marks.at(-1);
    if (last === undefined) return undefined;
    return last.lsn > replayed ? Number(last.lsn - replayed) : 0;
  }

  /**
   * For how long the primary has had what a replica hasn't replayed, in milliseconds; 0: nothing is known that it lacks.
   *
   * @param replayedAgo - how old the last transaction is that it has replayed: where the marks lie far apart, this tells more.
   */
  lagMs(replayed: bigint, now: number, replayedAgo: number | undefined): number {
    const missing = this.#marks.findIndex(({ lsn }) => lsn > replayed);
    if (missing < 0) return 0;
    const least = now - (this.#marks[missing] as Mark).at;
    const had = this.#marks[missing - 1];
    const most = had === undefined ? Infinity : now - had.at;
    return Math.min(most, Math.max(least, replayedAgo ?? 0));
  }
}
