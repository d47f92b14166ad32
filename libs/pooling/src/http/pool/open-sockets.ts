/** Counts sockets that are alive for the system, those being opened and those being closed included. */
export class OpenSockets {
  #count = 0;
  #whenNone: (() => void)[] = [];

  /** Whether there is one. */
  get any(): boolean {
    return this.#count > 0;
  }

  opened(): void {
    this.#count++;
  }

  /** A socket is closed. */
  closed(): void {
    if (--this.#count > 0) return;
    const callbacks = this.#whenNone;
    this.#whenNone = [];
    for (const callback of callbacks) callback();
  }

  /** Calls back, once, as soon as none is left. */
  whenNone(callback: () => void): void {
    if (this.#count === 0) callback();
    else this.#whenNone.push(callback);
  }
}
