import { createHash } from 'node:crypto';
import { PlanWatch, type PlannedRun, type PlanVerdict } from './plan-watch.js';
import { SeenTexts } from './seen-texts.js';

/** A statement that usually takes longer than this has its connection for itself, in milliseconds. */
const SLOW_MS = 10;
/** Statements that read and write rows, and nothing else: they leave nothing behind in their session. */
const ROWS_ONLY = /^\s*(?:select|insert|update|delete|merge|with|values|table)\b/i;
/** Functions that do leave something behind in their session, or wait there. */
const OF_SESSION =
  /\b(?:set_config|setseed|currval|lastval|pg_sleep\w*|pg_(?:try_)?advisory\w*|pg_listening\w*|dblink\w*|lo_\w+)\s*\(/i;

/** A text that is worth being prepared, under one name on every connection. */
export class PreparedText {
  readonly text: string;
  /** The server's name for it: a hash of the text, and how often it was made invalid. */
  readonly name: string;
  /** @internal The name as it is sent. */
  readonly nameBytes: Buffer;
  /** Whether new uses go to another one: it was made invalid, or wasn't used for long. */
  dropped = false;
  /** Whether its nature lets it run on a connection between the queries of others. */
  readonly sociable: boolean;
  /** Whether its one plan for all values is known to be worse than planning each time. */
  plannedAnew = false;
  /** @internal */
  readonly plans = new PlanWatch();
  /** @internal When it was last used, counted in uses of all. */
  lastUse = 0;

  constructor(text: string, generation: number) {
    this.text = text;
    this.sociable = ROWS_ONLY.test(text) && !OF_SESSION.test(text);
    const hash = createHash('sha256').update(text).digest('base64url').slice(0, 22);
    this.name = generation === 0 ? `np_${hash}` : `np_${hash}_${generation}`;
    this.nameBytes = Buffer.from(`${this.name}\0`);
  }
}

/** A run of a prepared statement that has ended. */
export interface StatementRun extends PlannedRun {
  readonly prepared: PreparedText;
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
  readonly #seen = new SeenTexts();
  readonly #hot = new Map<string, PreparedText>();
  readonly #replanned: (text: string, verdict: PlanVerdict) => void;

  /** @param replanned called once for each text whose one plan for all values turned out to be worse than planning each time. */
  constructor(max: number, replanned: (text: string, verdict: PlanVerdict) => void) {
    this.max = max;
    this.#replanned = replanned;
  }

  /** Uses that found their statement prepared on the connection. */
  get hits(): number {
    return this.#hits;
  }

  /** Uses that didn't: of new texts, or on a connection that hadn't prepared them yet. */
  get misses(): number {
    return this.#misses;
  }

  /** Whether a statement can run on a connection between the queries of others: it leaves nothing behind, and is quick. */
  mayShare(prepared: PreparedText): boolean {
    return prepared.sociable && prepared.plans.usualMs < SLOW_MS && !prepared.plans.comparing;
  }

  /** Counts one use of a text: `undefined` while it isn't worth being prepared. */
  use(text: string): PreparedText | undefined {
    let prepared = this.#hot.get(text);
    if (prepared === undefined) {
      if (!this.#seen.again(text)) {
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

  /** Notes how long a run took and when it ended, in milliseconds. */
  ran(run: StatementRun, ms: number, at: number): void {
    const { prepared } = run;
    if (prepared.plannedAnew) return;
    const verdict = prepared.plans.ran(run, ms, at);
    if (verdict === undefined) return;
    prepared.plannedAnew = true;
    this.#replanned(prepared.text, verdict);
  }

  /** The server has made a statement invalid: the whole pool prepares its text anew, under another name. */
  invalidate(prepared: PreparedText): void {
    if (prepared.dropped) return;
    prepared.dropped = true;
    this.#generation++;
    this.#hot.set(prepared.text, new PreparedText(prepared.text, this.#generation));
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
