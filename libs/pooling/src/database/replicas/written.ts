import { later, type LogPosition } from './position.js';

/** What was written by somebody: how far a replica must be to show it. */
export class Written {
  /** Behind all writes of which it is known where they stand. */
  position: LogPosition | undefined = undefined;
  /** Until when reads go to the primary, as its server doesn't tell where its log is; on the clock's scale. */
  primaryUntil = -Infinity;
  /** Counts the writes of which nobody knows where they stand; 0: there are none. */
  #somewhere = 0;
  #writes = 0;

  /** A write stands before a position. */
  at(position: LogPosition): void {
    this.position = later(this.position, position);
  }

  /** A write stands somewhere. */
  somewhere(): void {
    this.#somewhere = ++this.#writes;
  }

  /** A write stands somewhere, on a server that doesn't tell where its log is. */
  stick(until: number): void {
    this.primaryUntil = Math.max(this.primaryUntil, until);
  }

  /** What somebody else has written was written here as well. */
  include({ position, primaryUntil, unknown }: Written): void {
    if (position !== undefined) this.at(position);
    if (unknown > 0) this.somewhere();
    this.stick(primaryUntil);
  }

  /** The last write of which nobody knows where it stands; 0: there is none. */
  get unknown(): number {
    return this.#somewhere;
  }

  /** All writes up to `unknown` stand before a position. */
  found(unknown: number, position: LogPosition): void {
    this.at(position);
    if (this.#somewhere === unknown) this.#somewhere = 0;
  }

  /** All writes up to `unknown` were on a server that doesn't tell. */
  neverFound(unknown: number, until: number): void {
    this.stick(until);
    if (this.#somewhere === unknown) this.#somewhere = 0;
  }
}
