import type { AcquireQueue } from './acquire-queue.js';
import type { DialDemand } from './dialer.js';
import type { LifeCycle } from './life-cycle.js';
import type { Slots } from './slots.js';

/** Tells what to dial for: those who wait, and the idle connections that are kept ready. */
export class Refill<T> implements DialDemand {
  readonly #minIdle: number;
  readonly #life: LifeCycle;
  readonly #slots: Slots<T>;
  readonly #waiters: AcquireQueue<T>;
  #shared: 0 | 1 = 0;

  constructor(minIdle: number, life: LifeCycle, slots: Slots<T>, waiters: AcquireQueue<T>) {
    this.#minIdle = minIdle;
    this.#life = life;
    this.#slots = slots;
    this.#waiters = waiters;
  }

  /** Someone had to share a connection: one more is wanted in the background. */
  sharedForLack(): void {
    this.#shared = 1;
  }

  /** A connection was opened. */
  opened(): void {
    this.#shared = 0;
  }

  /** How many more dials the waiters need now, within the pool's bounds. */
  urgentDials(): number {
    const room = this.#slots.max - this.#slots.used;
    if (room <= 0 || !this.#life.serving) return 0;
    return Math.min(this.#waiters.length - this.#slots.arriving - this.#slots.connecting, room);
  }

  /** How many more dials would fill up the idle connections now, within the pool's size. */
  backgroundDials(): number {
    const room = this.#slots.kept - this.#slots.used;
    if (room <= 0 || this.#life.state !== 'running') return 0;
    const { idle, arriving, connecting } = this.#slots;
    return Math.min(Math.max(this.#minIdle, this.#shared) - idle - arriving - connecting, room);
  }
}
