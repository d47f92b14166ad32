/** Somebody who waits for a turn. */
interface Waiter {
  readonly alone: boolean;
  readonly enter: () => void;
}

/** Lets in, in order of arrival, those who may be inside together, and those who want to be there alone. */
export class Turns {
  #inside = 0;
  #alone = false;
  #waiting: Waiter[] = [];

  /** Enters together with others, where that can be done at once. */
  tryShare(): boolean {
    if (this.#alone || this.#waiting.length > 0) return false;
    this.#inside++;
    return true;
  }

  /** Resolves inside, together with others. */
  share(): Promise<void> {
    return this.#enter(false);
  }

  /** Resolves inside, alone. */
  alone(): Promise<void> {
    return this.#enter(true);
  }

  #enter(alone: boolean): Promise<void> {
    return new Promise((enter) => {
      this.#waiting.push({ alone, enter });
      this.#letIn();
    });
  }

  /** Goes out. */
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
