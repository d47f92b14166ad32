import { systemClock } from '../core/clock.js';

/** Waits `delayMs` of real time: the laboratory deals with processes and sockets, whose time can't be turned by hand. */
export function delay(delayMs: number): Promise<void> {
  return new Promise((resolve) => systemClock.setTimeout(resolve, delayMs));
}

/** Asks `condition` every `everyMs` until it holds; gives up after `withinMs` and says false. */
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
