import { LinkedList, LinkedNode } from './linked-list.js';

/** A place in a {@link WaitQueue}. Whoever waits extends it, so that queueing allocates nothing more. */
export abstract class Waiter extends LinkedNode {
  /** Whether this waiter stands in a queue now. */
  get queued(): boolean {
    return this.listed;
  }
}

/**
 * First-in-first-out queue of waiters: push, shift and removal from the middle (time-out, abort) take
 * constant time at any length. `Array.shift` turns into an O(n) move past some 30,000 entries.
 */
export class WaitQueue<W extends Waiter> extends LinkedList<W> {}
