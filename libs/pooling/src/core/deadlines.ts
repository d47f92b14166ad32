import type { Clock, Timer } from './clock.js';
import { LONGEST_DELAY_MS } from './validation.js';

/** The grain of the wheel, in milliseconds: a deadline expires late by at most this, plus the delay of the event loop. */
const TICK_MS = 10;
/** How long one turn of the event loop may expire deadlines before the next one continues, in milliseconds. */
const TURN_BUDGET_MS = 5;
/** When the timer fires this late, the event loop was blocked or the machine slept. In milliseconds. */
const STALL_MS = 100;
/** How many deadlines expire between two checks of that time. */
const BATCH = 32;

/** Something that happens at a time. A class extends it, or holds one, so that setting it allocates nothing. */
export abstract class Deadline {
  /** @internal */ previousDeadline: Deadline | undefined = undefined;
  /** @internal */ nextDeadline: Deadline | undefined = undefined;
  /** @internal */ slot: Slot | undefined = undefined;

  /** Whether it is set. */
  get pending(): boolean {
    return this.slot !== undefined;
  }

  /** Called once when the time has come, unless the deadline was cleared. Must not throw. */
  abstract expire(): void;
}

class Slot {
  head: Deadline | undefined = undefined;
  tail: Deadline | undefined = undefined;
}

/**
 * One timer for any number of deadlines: a hashed wheel (Varghese and Lauck, 1987) that sleeps until the
 * next deadline instead of ticking. Setting and clearing take constant time, and a mass expiry is spread
 * over turns of the event loop so that 100,000 time-outs at once don't stall it.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #slots = new Map<number, Slot>();
  /** The ticks of `#slots`, earliest first: a binary heap. */
  readonly #ticks: number[] = [];
  #timer: Timer | undefined;
  #wakesAtTick = Infinity;
  /** When the timer is due, on the clock's scale. */
  #wakesAt = 0;
  #size = 0;
  #lastStall: { readonly endedAt: number; readonly ms: number } | undefined = undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Deadlines that are set. */
  get size(): number {
    return this.#size;
  }

  /** Now, on the clock's scale. */
  get now(): number {
    return this.#clock.now();
  }

  /** How long the event loop was last blocked, in milliseconds; 0 when that was before `since`. */
  stalledSince(since: number): number {
    return this.#lastStall === undefined || this.#lastStall.endedAt < since ? 0 : this.#lastStall.ms;
  }

  /** Sets a deadline `inMs` from now; it is never early, and late by at most 25 ms while the event loop is free. */
  set(deadline: Deadline, inMs: number): void {
    if (deadline.slot !== undefined) throw new Error('bug: the deadline is set already');
    const now = this.#clock.now();
    const tick = Math.ceil((now + inMs) / TICK_MS);
    let slot = this.#slots.get(tick);
    if (slot === undefined) {
      slot = new Slot();
      this.#slots.set(tick, slot);
      this.#pushTick(tick);
    }
    deadline.slot = slot;
    deadline.previousDeadline = slot.tail;
    if (slot.tail === undefined) slot.head = deadline;
    else slot.tail.nextDeadline = deadline;
    slot.tail = deadline;
    this.#size++;
    if (tick < this.#wakesAtTick) this.#wakeAt(tick, now);
  }

  /** Clears a deadline; does nothing when it isn't set. */
  clear(deadline: Deadline): void {
    const slot = deadline.slot;
    if (slot === undefined) return;
    if (deadline.previousDeadline === undefined) slot.head = deadline.nextDeadline;
    else deadline.previousDeadline.nextDeadline = deadline.nextDeadline;
    if (deadline.nextDeadline === undefined) slot.tail = deadline.previousDeadline;
    else deadline.nextDeadline.previousDeadline = deadline.previousDeadline;
    deadline.previousDeadline = undefined;
    deadline.nextDeadline = undefined;
    deadline.slot = undefined;
    this.#size--;
  }

  /** Stops the timer when nothing is due. Call it when the owner closes, so that the process can end. */
  stopWhenIdle(): void {
    if (this.#size > 0) return;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wakesAtTick = Infinity;
    this.#slots.clear();
    this.#ticks.length = 0;
  }

  readonly #turn = (): void => {
    this.#timer = undefined;
    this.#wakesAtTick = Infinity;
    const startedAt = this.#clock.now();
    if (startedAt - this.#wakesAt > STALL_MS) {
      // Timers run before sockets are read: read the answers that have arrived first.
      this.#lastStall = { endedAt: startedAt, ms: startedAt - this.#wakesAt };
      this.#wakesAtTick = -Infinity;
      this.#wakeIn(1, startedAt);
      return;
    }
    const current = Math.floor(startedAt / TICK_MS);
    let expired = 0;
    for (;;) {
      const tick = this.#ticks[0];
      if (tick === undefined) return;
      const slot = this.#slots.get(tick) as Slot;
      if (slot.head === undefined) {
        this.#popTick();
        this.#slots.delete(tick);
        continue;
      }
      if (tick > current) return this.#wakeAt(tick, this.#clock.now());
      while (slot.head !== undefined) {
        const deadline: Deadline = slot.head;
        this.clear(deadline);
        deadline.expire();
        if (++expired % BATCH === 0 && this.#clock.now() - startedAt >= TURN_BUDGET_MS) {
          return this.#wakeAt(tick, this.#clock.now());
        }
      }
    }
  };

  #wakeAt(tick: number, now: number): void {
    this.#wakesAtTick = tick;
    this.#wakeIn(Math.max(0, Math.ceil(tick * TICK_MS - now)), now);
  }

  #wakeIn(wishedMs: number, now: number): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    // Node fires a longer timer at once. One that fires too early is set again.
    const delayMs = Math.min(wishedMs, LONGEST_DELAY_MS);
    this.#wakesAt = now + delayMs;
    // Only sockets and waiters keep the process alive. A timer of cleared deadlines must not.
    this.#timer = this.#clock.setBackgroundTimeout(this.#turn, delayMs);
  }

  #pushTick(tick: number): void {
    const heap = this.#ticks;
    let at = heap.push(tick) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as number) <= tick) break;
      heap[at] = heap[parent] as number;
      at = parent;
    }
    heap[at] = tick;
  }

  #popTick(): void {
    const heap = this.#ticks;
    const last = heap.pop() as number;
    const length = heap.length;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && (heap[child + 1] as number) < (heap[child] as number)) child++;
      if ((heap[child] as number) >= last) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = last;
  }
}
