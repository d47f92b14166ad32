import type { QueryResult } from 'pg';
import type { Clock } from '../../core/clock.js';
import type { WriteNote, WriteNotes } from '../query/write-notes.js';
import { nameInTokens } from './consistency-token.js';
import { tellsNoPosition } from './asking.js';
import { later, parseLsn, replayable, type LogGeometry, type LogPosition } from './position.js';
import { presentWrites } from './request-writes.js';
import { Written } from './written.js';

/** How long reads go to the primary after a write, where a server doesn't tell where its log is, in milliseconds. */
const PRIMARY_FOR_MS = 2_000;

/** What a read has to see. */
export type Needed =
  /** Nothing. */
  | undefined
  /** What was written before a position of the log. */
  | LogPosition
  /** What only the primary is known to have. */
  | 'primary';

/** Where a primary's log is now: the same as what is asked behind a write. */
export function positionIn({ rows }: QueryResult, geometry: LogGeometry | undefined): LogPosition | undefined {
  const { lsn, timeline } = (rows[0] ?? {}) as { lsn?: unknown; timeline?: unknown };
  const parsed = parseLsn(lsn);
  if (parsed === undefined || !/^[\dA-F]{8}$/i.test(String(timeline))) return undefined;
  return { lsn: replayable(parsed, geometry), timeline: Number.parseInt(String(timeline), 16) };
}

/**
 * Who has written what to a database with replicas: each request, and the process. What was written outside of any request
 * counts for all of them: a guard may have, or code that has lost the request's context.
 */
export class PoolWrites implements WriteNotes {
  /** The name of the database in tokens. */
  readonly nameInTokens: string;
  /** How the primary divides its log, once it was asked. */
  geometry: LogGeometry | undefined = undefined;
  readonly #clock: Clock;
  /** By anybody in this process. */
  readonly #all = new Written();
  /** Outside of any request. */
  readonly #outside = new Written();

  constructor(name: string, clock: Clock) {
    this.nameInTokens = nameInTokens(name);
    this.#clock = clock;
  }

  begin(): WriteNote {
    const noted = presentWrites()?.noted(this) ?? [this.#outside];
    noted.push(this.#all);
    return {
      at: (answer) => {
        const position = positionIn(answer, this.geometry);
        for (const written of noted) {
          if (position === undefined) written.somewhere();
          else written.at(position);
        }
      },
      somewhere: (error) => {
        const until = tellsNoPosition(error) ? this.#primaryUntil : undefined;
        for (const written of noted) {
          if (until === undefined) written.somewhere();
          else written.stick(until);
        }
      },
    };
  }

  get #primaryUntil(): number {
    return this.#clock.now() + PRIMARY_FOR_MS;
  }

  /** What a read that is made now must see. */
  get #present(): readonly Written[] {
    const request = presentWrites();
    return request === undefined ? [this.#all] : [...request.known(this), this.#outside];
  }

  /** What the request that runs now has written, or outside of any the process: that is what a token tells. */
  get own(): readonly Written[] {
    return presentWrites()?.known(this) ?? [this.#all];
  }

  /**
   * What a read that is made now must see.
   *
   * @param ask - asks the primary where its log is: behind everything that was written up to now. `undefined`: it doesn't
   * answer; `'nowhere'`: it doesn't tell.
   */
  needed(ask: () => Promise<LogPosition | undefined | 'nowhere'>): Needed | Promise<Needed> {
    const present = this.#present;
    let needed: LogPosition | undefined;
    for (const { position, primaryUntil, unknown } of present) {
      if (unknown > 0) return this.#find(present, ask);
      if (primaryUntil > this.#clock.now()) return 'primary';
      needed = later(needed, position);
    }
    return needed;
  }

  async #find(present: readonly Written[], ask: () => Promise<LogPosition | undefined | 'nowhere'>): Promise<Needed> {
    const unknown = present.map((written) => written.unknown);
    const position = await ask();
    if (position === undefined) return 'primary';
    let needed: LogPosition | undefined;
    for (const [at, written] of present.entries()) {
      const count = unknown[at] as number;
      if (count > 0 && position === 'nowhere') written.neverFound(count, this.#primaryUntil);
      else if (count > 0 && position !== 'nowhere') written.found(count, position);
      needed = later(needed, written.position);
    }
    return position === 'nowhere' ? 'primary' : needed;
  }
}
