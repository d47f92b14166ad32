/** Something that an `AbortSignal` can end. */
export interface Abortable {
  /** The signal was aborted. Called once. Must not throw. */
  aborted(reason: unknown): void;
}

/** Everything that one signal can end, with its one listener. */
class Watch {
  readonly abortables = new Set<Abortable>();

  constructor(readonly signal: AbortSignal) {}

  readonly listener = (): void => {
    for (const each of this.abortables) each.aborted(this.signal.reason);
    this.abortables.clear();
  };
}

/**
 * One listener per signal, however many exchanges share it: Node warns of a leak past ten listeners, and a listener per
 * request costs more than the request's own bookkeeping. The listener is removed after the last exchange, because a signal
 * with a listener isn't collected, nor anything that depends on it.
 */
export class Aborts {
  readonly #watches = new WeakMap<AbortSignal, Watch>();

  /** From now on the signal ends the abortable. The signal isn't aborted yet. */
  watch(signal: AbortSignal, abortable: Abortable): void {
    let watch = this.#watches.get(signal);
    if (watch === undefined) {
      watch = new Watch(signal);
      this.#watches.set(signal, watch);
      signal.addEventListener('abort', watch.listener, { once: true });
    }
    watch.abortables.add(abortable);
  }

  /** The abortable has ended by itself. */
  forget(signal: AbortSignal, abortable: Abortable): void {
    const watch = this.#watches.get(signal);
    if (watch === undefined || !watch.abortables.delete(abortable) || watch.abortables.size > 0) return;
    this.#watches.delete(signal);
    signal.removeEventListener('abort', watch.listener);
  }
}

/** Stops following when an answer was dropped without being read to its end. */
const dropped = new FinalizationRegistry<FollowingSignal>((following) => following.stop());

/**
 * A signal that aborts when another does, by the one listener of that one. For code that never removes its listeners, such as
 * the built-in `fetch`.
 */
export class FollowingSignal implements Abortable {
  readonly #controller = new AbortController();
  readonly #aborts: Aborts;
  readonly #followed: AbortSignal;

  /** @param followed a signal that isn't aborted yet. */
  constructor(aborts: Aborts, followed: AbortSignal) {
    this.#aborts = aborts;
    this.#followed = followed;
    aborts.watch(followed, this);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  aborted(reason: unknown): void {
    dropped.unregister(this);
    this.#controller.abort(reason);
  }

  /** Follows no longer than `answer` lives. */
  whileAlive(answer: object): void {
    dropped.register(answer, this, this);
  }

  /** Follows no more. */
  stop(): void {
    dropped.unregister(this);
    this.#aborts.forget(this.#followed, this);
  }
}
