import { systemClock, type Clock, type Timer } from '#pooling/core/clock.js';

/** The machine's clock, which knows what timers are left. */
export class CountingClock implements Clock {
  readonly pending = new Set<Timer>();
  readonly now = (): number => systemClock.now();
  readonly wallNow = (): number => systemClock.wallNow();

  setTimeout(callback: () => void, delayMs: number): Timer {
    return this.#counted((fire) => systemClock.setTimeout(fire, delayMs), callback);
  }

  setBackgroundTimeout(callback: () => void, delayMs: number): Timer {
    return this.#counted((fire) => systemClock.setBackgroundTimeout(fire, delayMs), callback);
  }

  clearTimeout(timer: Timer): void {
    this.pending.delete(timer);
    systemClock.clearTimeout(timer);
  }

  #counted(set: (fire: () => void) => Timer, callback: () => void): Timer {
    const timer = set(() => {
      this.pending.delete(timer);
      callback();
    });
    this.pending.add(timer);
    return timer;
  }
}
