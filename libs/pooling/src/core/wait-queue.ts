import { Deadline } from './deadlines.js';
import { LinkedList, LinkedNode } from './linked-list.js';

/** A place in a {@link WaitQueue}. Whoever waits extends it, so that queueing allocates nothing more. */
export abstract class Waiter extends LinkedNode {
  /** Whether this waiter stands in a queue now. */
  get queued(): boolean {
    return this.listed;
  }
}

/** A place in a queue and the deadline of whoever stands there in one object: half as many for the collector to carry. */
export abstract class TimedWaiter extends Deadline implements LinkedNode {
  /** @internal */ previousNode: LinkedNode | undefined = undefined;
  /** @internal */ nextNode: LinkedNode | undefined = undefined;
  /** @internal */ list: object | undefined = undefined;

  /** Whether this waiter stands in a queue now. */
  get listed(): boolean {
    return this.list !== undefined;
  }
}

/**
 * First-in-first-out queue of waiters: push, shift and removal from the middle (time-out, abort) take
 * constant time at any length. `Array.shift` turns into an O(n) move past some 30,000 entries.
 */
export class WaitQueue<W extends LinkedNode> extends LinkedList<W> {}
