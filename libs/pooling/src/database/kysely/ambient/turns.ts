/** Somebody who waits for his turn. */
interface Waiting {
  /** A savepoint has its turn for itself; statements share theirs. */
  readonly alone: boolean;
  admit(): void;
  refuse(error: Error): void;
}

/**
 * Who may send next in one scope of a transaction: statements all at once, a savepoint when no other is open, in the order
 * in which they came. What comes while a savepoint is open waits until it is over.
 */
export class Turns {
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

  /** Takes the turn for a savepoint, which gives it back with `leave()`. Resolves when it has it. */
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

  /** Whoever waits is refused. */
  close(error: () => Error): void {
    const waiting = this.#queue;
    this.#queue = [];
    for (const each of waiting) each.refuse(error());
  }

  #wait(alone: boolean): Promise<void> {
    return new Promise<void>((admit, refuse) => this.#queue.push({ alone, admit, refuse }));
  }
}
