/** A place in a {@link WaitQueue}. Whoever waits extends it, so that queueing allocates nothing more. */
export abstract class Waiter {
  /** @internal */ previous: Waiter | undefined;
  /** @internal */ next: Waiter | undefined;
  /** @internal */ queue: WaitQueue<Waiter> | undefined;

  /** Whether this waiter stands in a queue now. */
  get queued(): boolean {
    return this.queue !== undefined;
  }
}

/**
 * First-in-first-out queue of waiters: push, shift and removal from the middle (time-out, abort) take
 * constant time at any length. `Array.shift` turns into an O(n) move past some 30,000 entries.
 */
export class WaitQueue<W extends Waiter> {
  #head: Waiter | undefined;
  #tail: Waiter | undefined;
  #length = 0;

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** The waiter that has waited longest. */
  get first(): W | undefined {
    return this.#head as W | undefined;
  }

  /** Puts a waiter at the end. */
  push(waiter: W): void {
    if (waiter.queue !== undefined) throw new Error('bug: the waiter stands in a queue already');
    waiter.queue = this as unknown as WaitQueue<Waiter>;
    waiter.previous = this.#tail;
    if (this.#tail === undefined) this.#head = waiter;
    else this.#tail.next = waiter;
    this.#tail = waiter;
    this.#length++;
  }

  /** Takes the waiter that has waited longest. */
  shift(): W | undefined {
    const waiter = this.#head;
    if (waiter !== undefined) this.#unlink(waiter);
    return waiter as W | undefined;
  }

  /** Takes a waiter out, wherever it stands; returns whether it stood in this queue. */
  remove(waiter: W): boolean {
    if (waiter.queue !== (this as unknown as WaitQueue<Waiter>)) return false;
    this.#unlink(waiter);
    return true;
  }

  #unlink(waiter: Waiter): void {
    if (waiter.previous === undefined) this.#head = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.#tail = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.previous = undefined;
    waiter.next = undefined;
    waiter.queue = undefined;
    this.#length--;
  }
}
