import { systemClock } from '../core/clock.js';
import { pause } from '../core/within.js';

/** Waits `delayMs` of real time: time can't be turned by hand for processes and sockets. */
export function delay(delayMs: number): Promise<void> {
  return pause(systemClock, delayMs);
}

/** Checks `condition` every `everyMs` until it holds; returns `false` when it doesn't hold within `withinMs`. */
export async function becomes(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  everyMs = 10,
): Promise<boolean> {
  const deadline = systemClock.now() + withinMs;
  while (!(await condition())) {
    if (systemClock.now() >= deadline) return false;
    await delay(everyMs);
  }
  return true;
}
