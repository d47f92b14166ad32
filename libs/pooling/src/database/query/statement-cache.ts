import { createHash, randomBytes } from 'node:crypto';
import { SLOW_MS } from '../../core/slow-acquires.js';
import type { CountedText } from './counted-text.js';
import { isPreparable, parametersOf, textOf, type QueryText } from './query-forms.js';
import { PlanWatch, type PlannedRun, type PlanVerdict } from './plan-watch.js';
import type { RowShape } from '../wire/row-shape.js';
import { withComment } from './query-comment.js';
import { SeenTexts } from './seen-texts.js';
import { mayChangeReading } from './statement-effects.js';
import type { WireText } from './unnamed-text.js';

/** Statements that only read and write rows, and leave nothing behind in their session. */
const ROWS_ONLY = /^\s*(?:select|insert|update|delete|merge|with|values|table)\b/i;
/** The shortest time between two rounds in which the whole pool prepares again on suspicion, in milliseconds. */
const SUSPICION_MS = 1_000;
/** Functions that leave something behind in their session, or wait in it. */
const OF_SESSION =
  /\b(?:set_config|setseed|currval|lastval|pg_sleep\w*|pg_(?:try_)?advisory\w*|pg_listening\w*|dblink\w*|lo_\w+)\s*\(/i;

/** A text that is prepared, under the same name on every connection. */
export class PreparedText implements WireText {
  readonly text: string;
  readonly sent: string;
  readonly kept = true;
  /** The server's name for it: a hash of the text. */
  readonly name: string;
  /** The name as it is sent. */
  readonly nameBytes: Buffer;
  /** Whether the cache has dropped it, because it wasn't used for long: new uses get another object. */
  dropped = false;
  /** Counts how often the whole pool has dropped it. */
  drops = 0;
  /** When the whole pool last dropped it, and when it last did so on suspicion, in milliseconds. */
  droppedAt = -Infinity;
  suspectedAt = -Infinity;
  /** Whether it has literals: how they are read may depend on settings of the session. */
  readonly literal: boolean;
  /** Whether its text shows that it may change how other texts are read. */
  readonly changing: boolean;
  /** Whether its kind allows it to run on a shared connection. */
  readonly shareable: boolean;
  /** Whether its generic plan is known to be worse, so that every run gets a custom plan. */
  customPlanned = false;
  /** Watches whether its generic plan is worth it. */
  readonly plans = new PlanWatch();
  shape: RowShape | undefined = undefined;
  counted: CountedText | undefined = undefined;
  /** When it was last used, counted in uses of all texts. */
  lastUse = 0;

  constructor(text: string, sent: string) {
    this.text = text;
    this.sent = sent;
    const rowsOnly = ROWS_ONLY.test(text);
    this.shareable = rowsOnly && !OF_SESSION.test(text);
    this.literal = text.includes("'");
    this.changing = !rowsOnly || mayChangeReading(text);
    this.name = `np_${createHash('sha256').update(sent).digest('base64url').slice(0, 22)}`;
    this.nameBytes = Buffer.from(`${this.name}\0`);
  }
}

/**
 * The texts of a pool that are prepared: those used more than once; the least recently used ones are dropped. Each connection
 * knows by itself which of them it has prepared (`ConnectionStatements`).
 */
export class StatementCache {
  /** How many texts are prepared at once, on each connection. */
  readonly max: number;
  #hits = 0;
  #misses = 0;
  #uses = 0;
  /** Counts changes of the schema. */
  #changes = 0;
  #changedAt = -Infinity;
  /** From when on a suspected change counts; `Infinity`: there is none. */
  #suspicionAt = Infinity;
  /** Marks this process in the texts for a pooler. */
  readonly #mark = randomBytes(4).toString('hex');
  readonly #seen = new SeenTexts();
  readonly #hot = new Map<string, PreparedText>();
  readonly #replanned: (text: string, verdict: PlanVerdict) => void;
  /** The comment that is appended to each text. */
  readonly #comment: string;

  /** @param replanned called once for each text whose generic plan turned out to be worse than custom plans. */
  constructor(max: number, replanned: (text: string, verdict: PlanVerdict) => void, comment = '') {
    this.max = max;
    this.#replanned = replanned;
    this.#comment = comment;
  }

  /** Uses that found their statement prepared on the connection. */
  get hits(): number {
    return this.#hits;
  }

  /** Uses that didn't: of new texts, or on a connection that hadn't prepared them yet. */
  get misses(): number {
    return this.#misses;
  }

  /** Whether a statement may run on a shared connection: it leaves nothing behind, and is quick. */
  shareable(prepared: WireText): boolean {
    return prepared.shareable && prepared.plans.usualMs < SLOW_MS && !prepared.plans.comparing;
  }

  /** How long a text usually takes, in milliseconds; `Infinity`: nobody knows. */
  usualMs(text: string): number {
    return this.#hot.get(text)?.plans.usualMs ?? Infinity;
  }

  /**
   * Counts a use of a query, and gives its prepared text; `undefined`: it isn't prepared, and pg runs it.
   *
   * @param single whether the text is known to hold one statement.
   */
  prepare(config: QueryText, values: unknown[] | undefined, single = false): PreparedText | undefined {
    return isPreparable(config, parametersOf(config, values), single) ? this.use(textOf(config)) : undefined;
  }

  /** Counts one use of a text, and gives its prepared text; `undefined` at its first use. */
  use(text: string): PreparedText | undefined {
    let prepared = this.#hot.get(text);
    if (prepared === undefined) {
      if (!this.#seen.again(text)) {
        this.#misses++;
        return undefined;
      }
      if (this.#hot.size >= this.max) this.#dropLeastRecent();
      prepared = new PreparedText(text, withComment(text, this.#comment));
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
  ran(prepared: PreparedText, run: PlannedRun, ms: number, at: number): void {
    const { plans } = prepared;
    if (prepared.customPlanned) return plans.learn(ms);
    const verdict = plans.ran(run, ms, at);
    if (verdict === undefined) return;
    prepared.customPlanned = true;
    plans.usualMs = verdict.customMs;
    this.#replanned(prepared.text, verdict);
  }

  /** Counts changes of the schema: what was prepared before the last one is prepared again. */
  changes(now: number): number {
    if (now >= this.#suspicionAt) this.schemaChanged(now);
    return this.#changes;
  }

  /** The schema has changed: the whole pool prepares every text again. */
  schemaChanged(now: number): void {
    this.#changes++;
    this.#changedAt = now;
    this.#suspicionAt = Infinity;
  }

  /** The schema may have changed: {@link schemaChanged} now, or when the last time is long enough ago. */
  schemaMayHaveChanged(now: number): void {
    const earliest = this.#changedAt + SUSPICION_MS;
    if (now >= earliest) this.schemaChanged(now);
    else this.#suspicionAt = earliest;
  }

  /** The server has made a statement invalid: the whole pool prepares its text again. */
  invalidate(prepared: PreparedText, now: number): void {
    prepared.drops++;
    prepared.droppedAt = now;
  }

  /**
   * A text for a pooler that prepares by itself. The pooler compares texts, and after a change would go on using its old
   * statement. So a comment is added that changes with time: the same for all processes, until one of them sees a change.
   *
   * @param wallNow milliseconds since 1970, which processes have in common.
   */
  textForPooler(prepared: PreparedText, now: number, wallNow: number, ageMs: number): string {
    const time = Math.floor(wallNow / ageMs);
    const changedAt = Math.max(this.#changedAt, prepared.droppedAt);
    const changed = wallNow - (now - changedAt) >= time * ageMs;
    const mark = changed ? `${time}-${this.#mark}-${this.#changes + prepared.drops}` : String(time);
    return `${prepared.sent}\n--${mark}`;
  }

  /** A statement may be older than the schema, and nobody can tell: {@link invalidate}, but not for each bad value. */
  suspect(prepared: PreparedText, now: number): void {
    if (now < prepared.suspectedAt + SUSPICION_MS) return;
    prepared.suspectedAt = now;
    this.invalidate(prepared, now);
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
