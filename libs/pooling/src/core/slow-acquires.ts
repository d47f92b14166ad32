import type { AcquireWaiter } from './acquire-waiter.js';
import type { LifeCycle } from './life-cycle.js';
import type { Slots } from './slots.js';
import { WaitQueue } from './wait-queue.js';

/** An acquire is slow when what it is for usually takes at least this long, in milliseconds. */
export const SLOW_MS = 10;
/** Connections are kept for others for so long after the last of them has come, in milliseconds. */
const OTHERS_MS = 1_000;
/** The share of the connections that is kept where nobody says how many. */
const KEPT_SHARE = 0.1;

/** Whether what usually takes so long is slow; `Infinity`: nobody knows how long it takes. */
export function isSlow(usualMs: number): boolean {
  return usualMs >= SLOW_MS && usualMs !== Infinity;
}

/**
 * Keeps some connections free of slow acquires, so that quick ones go on when there are too many of those: a bulkhead. A
 * slow acquire is *admitted* while it holds a connection or stands in the queue. Only so many are at a time, and the
 * others stand aside, where nobody serves them and no connection is opened for them. They come into the queue by their
 * arrival, one when another one leaves.
 */
export class SlowAcquires<T> {
  /** When something else last asked for a connection. */
  othersAt = -Infinity;
  readonly #slots: Slots<T>;
  readonly #life: LifeCycle;
  /** How many connections are kept; `undefined`: a share. */
  readonly #kept: number | undefined;
  /** In order of arrival. */
  readonly #aside = new WaitQueue<AcquireWaiter<T>>();
  #admitted = 0;

  constructor(slots: Slots<T>, life: LifeCycle, kept: number | undefined) {
    this.#slots = slots;
    this.#life = life;
    this.#kept = kept;
  }

  /** How many hold a connection or stand in the queue. */
  get admitted(): number {
    return this.#admitted;
  }

  /** How many stand aside. */
  get aside(): number {
    return this.#aside.length;
  }

  /** How many connections are kept from them now: none where no others have come lately. */
  kept(now: number): number {
    return now - this.othersAt < OTHERS_MS ? this.#keptForOthers : 0;
  }

  get #keptForOthers(): number {
    const { max } = this.#slots;
    return Math.max(0, Math.min(this.#kept ?? Math.round(max * KEPT_SHARE), max - 1));
  }

  /** Whether one that comes now needn't stand aside. */
  admits(now: number): boolean {
    return this.#aside.length === 0 && this.#admitted < this.#limit(now);
  }

  /** One more holds a connection, or stands in the queue. */
  admit(): void {
    this.#admitted++;
  }

  /** One has given its connection back, or has left the queue without one. */
  left(): void {
    this.#admitted--;
  }

  /** One has to wait until another one leaves. */
  standAside(waiter: AcquireWaiter<T>): void {
    waiter.stoodAside = true;
    this.#aside.push(waiter);
  }

  /** Whether a waiter stands aside. */
  has(waiter: AcquireWaiter<T>): boolean {
    return waiter.list === this.#aside;
  }

  /** Takes out one that stands aside; returns whether it did. */
  remove(waiter: AcquireWaiter<T>): boolean {
    return this.#aside.remove(waiter);
  }

  /** The first of those that stand aside. */
  get first(): AcquireWaiter<T> | undefined {
    return this.#aside.first;
  }

  /** Moves those that need stand aside no longer into the queue; returns whether there were any. */
  moveUp(queue: WaitQueue<AcquireWaiter<T>>, now: number): boolean {
    if (this.#aside.length === 0) return false;
    const room = this.#limit(now) - this.#admitted;
    let moved = 0;
    for (; moved < room && this.#aside.length > 0; moved++) {
      insertByArrival(queue, this.#aside.shift() as AcquireWaiter<T>);
    }
    this.#admitted += moved;
    return moved > 0;
  }

  #limit(now: number): number {
    // Newcomers are refused in the end: there is nobody to keep a connection for.
    if (this.#keptForOthers === 0 || this.#life.refusing) return Infinity;
    // Never more than there are connections: others that come again must not find a long queue of slow ones.
    return this.#slots.max - this.kept(now);
  }
}

/** Puts a waiter in front of the first one that has come later, looked for from the nearer end. */
function insertByArrival<T>(queue: WaitQueue<AcquireWaiter<T>>, waiter: AcquireWaiter<T>): void {
  const { arrival } = waiter;
  const { first, last } = queue;
  if (first === undefined || last === undefined || last.arrival < arrival) return queue.push(waiter);
  let next = first;
  if (arrival - first.arrival < last.arrival - arrival) {
    while (next.arrival < arrival) next = next.nextNode as AcquireWaiter<T>;
  } else {
    next = last;
    for (;;) {
      const before = next.previousNode as AcquireWaiter<T> | undefined;
      if (before === undefined || before.arrival < arrival) break;
      next = before;
    }
  }
  queue.insertBefore(waiter, next);
}
