import { systemClock } from '../core/clock.js';

/** Waits `delayMs` of real time: time can't be turned by hand for processes and sockets. */
export function delay(delayMs: number): Promise<void> {
  return new Promise((resolve) => systemClock.setTimeout(resolve, delayMs));
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
