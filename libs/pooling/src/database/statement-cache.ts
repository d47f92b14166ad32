import { createHash } from 'node:crypto';

/** Texts seen once that are remembered: a text is prepared from its second use on, so that one-off texts fill nothing. */
const MOST_SEEN = 4_096;
/** Longer texts are rather made once than again and again, in characters. */
const LONGEST_TEXT = 32_768;

/** So many times the server plans a prepared statement for its own values before it may make one plan for all. */
const CUSTOM_PLANS = 5;
/** So many runs with the one plan are looked at. */
const JUDGED_RUNS = 100;
/** One plan for all that is this much slower than planning each time is a bad one: by a factor, and in milliseconds. */
const BAD_PLAN = { factor: 1.3, ms: 0.6 };

/** A text that is worth being prepared, under one name on every connection. */
export class PreparedText {
  readonly text: string;
  /** The server's name for it: a hash of the text, and how often it was made invalid. */
  readonly name: string;
  /** @internal The name as it is sent. */
  readonly nameBytes: Buffer;
  /** Whether new uses go to another one: it was made invalid, or wasn't used for long. */
  dropped = false;
  /** @internal The shortest run planned for its own values, and planned once for all; in milliseconds. */
  shortestCustomMs = Infinity;
  shortestGenericMs = Infinity;
  /** @internal */
  genericRuns = 0;
  /** @internal When it was last used, counted in uses of all. */
  lastUse = 0;

  constructor(text: string, generation: number) {
    this.text = text;
    const hash = createHash('sha256').update(text).digest('base64url').slice(0, 22);
    this.name = generation === 0 ? `np_${hash}` : `np_${hash}_${generation}`;
    this.nameBytes = Buffer.from(`${this.name}\0`);
  }
}

/**
 * Which texts of a pool are prepared: those used more than once, the least recently used giving way. What is prepared
 * where is each connection's own business.
 */
export class StatementCache {
  /** How many texts are prepared at once, on each connection. */
  readonly max: number;
  #hits = 0;
  #misses = 0;
  #uses = 0;
  #generation = 0;
  readonly #seen = new Set<string>();
  readonly #hot = new Map<string, PreparedText>();
  /** Texts that are slower when they are prepared. */
  readonly #unsuited = new Set<string>();

  constructor(max: number) {
    this.max = max;
  }

  /** Uses that found their statement prepared on the connection. */
  get hits(): number {
    return this.#hits;
  }

  /** Uses that didn't: of new texts, or on a connection that hadn't prepared them yet. */
  get misses(): number {
    return this.#misses;
  }

  /** Counts one use of a text: `undefined` while it isn't worth being prepared. */
  use(text: string): PreparedText | undefined {
    let prepared = this.#hot.get(text);
    if (prepared === undefined) {
      if (!this.#secondUse(text)) {
        this.#misses++;
        return undefined;
      }
      if (this.#hot.size >= this.max) this.#dropLeastRecent();
      prepared = new PreparedText(text, this.#generation);
      this.#hot.set(text, prepared);
    }
    prepared.lastUse = ++this.#uses;
    return prepared;
  }

  /** Counts whether a use found its statement on its connection. */
  found(onConnection: boolean): void {
    if (onConnection) this.#hits++;
    else this.#misses++;
  }

  /**
   * Notes how long a run took, the `use`th on its connection. A text whose one plan for all is slower than planning it
   * each time isn't prepared any more. The shortest runs are compared, because those are the ones that nothing held up.
   */
  ran(prepared: PreparedText, use: number, ms: number): void {
    if (prepared.genericRuns >= JUDGED_RUNS) return;
    if (use <= CUSTOM_PLANS) {
      if (ms < prepared.shortestCustomMs) prepared.shortestCustomMs = ms;
      return;
    }
    if (ms < prepared.shortestGenericMs) prepared.shortestGenericMs = ms;
    if (++prepared.genericRuns < JUDGED_RUNS) return;
    const { shortestCustomMs, shortestGenericMs } = prepared;
    if (shortestGenericMs < shortestCustomMs * BAD_PLAN.factor + BAD_PLAN.ms) return;
    prepared.dropped = true;
    this.#hot.delete(prepared.text);
    if (this.#unsuited.size >= MOST_SEEN) this.#unsuited.clear();
    this.#unsuited.add(prepared.text);
  }

  /** The server has made a statement invalid: the whole pool prepares its text anew, under another name. */
  invalidate(prepared: PreparedText): void {
    if (prepared.dropped) return;
    prepared.dropped = true;
    this.#generation++;
    this.#hot.set(prepared.text, new PreparedText(prepared.text, this.#generation));
  }

  #secondUse(text: string): boolean {
    if (text.length > LONGEST_TEXT || this.#unsuited.has(text)) return false;
    if (this.#seen.delete(text)) return true;
    if (this.#seen.size >= MOST_SEEN) this.#seen.clear();
    this.#seen.add(text);
    return false;
  }

  #dropLeastRecent(): void {
    let oldest: PreparedText | undefined;
    for (const prepared of this.#hot.values()) {
      if (oldest === undefined || prepared.lastUse < oldest.lastUse) oldest = prepared;
    }
    if (oldest === undefined) return;
    oldest.dropped = true;
    this.#hot.delete(oldest.text);
  }
}
