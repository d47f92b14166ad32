import { inRequest, presentRequest } from '../../core/request-context.js';

/** Somebody who holds the one connection of a test for a while, or will: known by the async context of what it does. */
export class Turn {
  readonly #outer: Turn | undefined;

  private constructor(outer: Turn | undefined) {
    this.#outer = outer;
  }

  /** That of what runs now. */
  static get present(): Turn | undefined {
    const turn = presentRequest()?.turn;
    return turn instanceof Turn ? turn : undefined;
  }

  /** Runs a function, and everything that it starts, in a turn of its own. */
  static run<Result>(fn: () => Result): Result {
    return inRequest({ turn: new Turn(Turn.present) }, fn);
  }

  /** Whether this is part of another turn: the same, or one that was begun in it. */
  isWithin(other: Turn): boolean {
    return this === other || this.#outer?.isWithin(other) === true;
  }
}
