/** A statement or savepoint that waits for its turn. */
interface Waiting {
  /** Whether it is a savepoint: those are open one at a time. */
  readonly alone: boolean;
  admit(): void;
  refuse(error: Error): void;
}

/**
 * The order in which one scope of a transaction sends. Statements are sent at once. A savepoint waits until no other is open,
 * and statements that come while one is open wait until it is over.
 */
export class SavepointTurns {
  #taken = false;
  #queue: Waiting[] = [];

  /** Whether a statement may be sent without waiting. */
  get free(): boolean {
    return !this.#taken && this.#queue.length === 0;
  }

  /** Resolves when a statement may be sent. */
  statement(): Promise<void> {
    return this.#wait(false);
  }

  /** Takes the turn for a savepoint, at once (`undefined`) or when the promise resolves; `leave()` gives it back. */
  enter(): Promise<void> | undefined {
    if (!this.free) return this.#wait(true);
    this.#taken = true;
    return undefined;
  }

  /** The savepoint that had the turn is over. */
  leave(): void {
    this.#taken = false;
    while (!this.#taken) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#taken = next.alone;
      next.admit();
    }
  }

  /** Refuses all that wait. */
  close(error: () => Error): void {
    const waiting = this.#queue;
    this.#queue = [];
    for (const each of waiting) each.refuse(error());
  }

  #wait(alone: boolean): Promise<void> {
    return new Promise<void>((admit, refuse) => this.#queue.push({ alone, admit, refuse }));
  }
}
