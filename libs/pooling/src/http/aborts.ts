/** Something that an `AbortSignal` may end. */
export interface Abortable {
  /** The signal was aborted. Called once. Must not throw. */
  aborted(reason: unknown): void;
}

/**
 * One listener per signal, however many exchanges share it: Node warns of a leak past ten listeners, and a
 * listener per request costs more than the request's own bookkeeping.
 */
export class Aborts {
  readonly #abortables = new WeakMap<AbortSignal, Set<Abortable>>();

  /** From now on the signal ends the abortable. The signal isn't aborted yet. */
  watch(signal: AbortSignal, abortable: Abortable): void {
    let abortables = this.#abortables.get(signal);
    if (abortables === undefined) {
      abortables = new Set();
      this.#abortables.set(signal, abortables);
      const all = abortables;
      signal.addEventListener(
        'abort',
        () => {
          for (const each of all) each.aborted(signal.reason);
          all.clear();
        },
        { once: true },
      );
    }
    abortables.add(abortable);
  }

  /** The abortable has ended by itself. */
  forget(signal: AbortSignal, abortable: Abortable): void {
    this.#abortables.get(signal)?.delete(abortable);
  }
}
