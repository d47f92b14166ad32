import type { Clock } from './clock.js';

/** Waits for something, and not for longer than this; returns whether it was in time. Rejects as that does. */
export async function within(clock: Clock, limitMs: number, done: Promise<unknown>): Promise<boolean> {
  let over!: (inTime: false) => void;
  const late = new Promise<false>((resolve) => (over = resolve));
  const timer = clock.setTimeout(() => over(false), limitMs);
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    clock.clearTimeout(timer);
  }
}

/** Waits for a time. */
export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimeout(resolve, ms));
}
