/** A caller that waits for its turn. */
interface Waiter {
  readonly alone: boolean;
  readonly enter: () => void;
}

/** A fair read-write lock: callers share it, or have it alone, in order of arrival. */
export class Turns {
  #inside = 0;
  #alone = false;
  #waiting: Waiter[] = [];

  /** Whether nobody is inside or waits. */
  get free(): boolean {
    return this.#inside === 0 && this.#waiting.length === 0;
  }

  /** Shares it, if that is possible at once. */
  tryShare(): boolean {
    if (this.#alone || this.#waiting.length > 0) return false;
    this.#inside++;
    return true;
  }

  /** Resolves when the caller shares it. */
  share(): Promise<void> {
    return this.#enter(false);
  }

  /** Resolves when the caller has it alone. */
  alone(): Promise<void> {
    return this.#enter(true);
  }

  #enter(alone: boolean): Promise<void> {
    return new Promise((enter) => {
      this.#waiting.push({ alone, enter });
      this.#letIn();
    });
  }

  /** Gives it back. */
  leave(): void {
    this.#inside--;
    this.#alone = false;
    if (this.#waiting.length > 0) this.#letIn();
  }

  #letIn(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || this.#alone || (first.alone && this.#inside > 0)) return;
      this.#waiting.shift();
      this.#inside++;
      this.#alone = first.alone;
      first.enter();
    }
  }
}
