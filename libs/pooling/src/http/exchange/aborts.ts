/** Something that an `AbortSignal` may end. */
export interface Abortable {
  /** The signal was aborted. Called once. Must not throw. */
  aborted(reason: unknown): void;
}

/** Those that one signal may end, and the listener that tells them. */
class Watch {
  readonly abortables = new Set<Abortable>();

  constructor(readonly signal: AbortSignal) {}

  readonly listener = (): void => {
    for (const each of this.abortables) each.aborted(this.signal.reason);
    this.abortables.clear();
  };
}

/**
 * One listener per signal, however many exchanges share it: Node warns of a leak past ten listeners, and a
 * listener per request costs more than the request's own bookkeeping. It goes with the last of them: a signal that is
 * listened to, and all that depends on it, isn't collected.
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

/** Signals whose answer was dropped without being read to its end. */
const dropped = new FinalizationRegistry<FollowingSignal>((following) => following.stop());

/**
 * A signal that aborts when another does, over the one listener that the other has here. For what never takes its
 * listeners off again, such as the built-in `fetch`.
 */
export class FollowingSignal implements Abortable {
  readonly #controller = new AbortController();
  readonly #aborts: Aborts;
  readonly #followed: AbortSignal;

  /** The signal that is followed isn't aborted yet. */
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
