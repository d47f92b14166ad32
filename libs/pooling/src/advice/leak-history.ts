import type { Clock } from '../core/clock.js';

/** How long a leak that is over is still reported, in milliseconds. */
export const LEAK_HISTORY_MS = 300_000;

/**
 * Tells how many leaks are recent, from counters that only grow. Looking doesn't change what the next one sees: the
 * log, the console and the application all look.
 */
export class LeakHistory {
  /** When each counter was seen to have grown, and to what, oldest first. */
  readonly #growths = new Map<string, { readonly at: number; readonly leaks: number }[]>();

  constructor(private readonly clock: Clock) {}

  /** How many of a client's `leaks` so far were first seen within the last five minutes. */
  recent(client: string, leaks: number): number {
    const now = this.clock.now();
    const growths = this.#growths.get(client) ?? [];
    this.#growths.set(client, growths);
    if (leaks > (growths.at(-1)?.leaks ?? 0)) growths.push({ at: now, leaks });
    const old = growths.findLast(({ at }) => at <= now - LEAK_HISTORY_MS);
    // Of the old entries only the latest is needed.
    if (old !== undefined) growths.splice(0, growths.indexOf(old));
    return leaks - (old?.leaks ?? 0);
  }
}
