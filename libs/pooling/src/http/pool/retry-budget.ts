import type { Clock } from '../../core/clock.js';

/** Retries that are always allowed in a window: a client with few requests must be able to retry its only one. */
const FREE_RETRIES = 10;
/** The budget looks back over one to two of these, in milliseconds. */
const WINDOW_MS = 10_000;

/**
 * Retries of one origin as a share of its requests (Finagle's RetryBudget): when everything fails, it gets that
 * share more, not a multiple.
 */
export class RetryBudget {
  readonly #clock: Clock;
  #windowEndsAt: number;
  #requests = 0;
  #retries = 0;
  #requestsBefore = 0;
  #retriesBefore = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowEndsAt = clock.now() + WINDOW_MS;
  }

  /** Counts a request that may have to be retried. */
  request(): void {
    this.#requests++;
  }

  /** Takes one retry; `false` when the budget is spent. */
  take(policy: { readonly budget: number }): boolean {
    this.#turn();
    const retries = this.#retries + this.#retriesBefore;
    const requests = this.#requests + this.#requestsBefore;
    if (policy.budget === 0 || retries >= Math.max(FREE_RETRIES, Math.floor(policy.budget * requests))) return false;
    this.#retries++;
    return true;
  }

  #turn(): void {
    const now = this.#clock.now();
    if (now < this.#windowEndsAt) return;
    const missedOne = now >= this.#windowEndsAt + WINDOW_MS;
    this.#requestsBefore = missedOne ? 0 : this.#requests;
    this.#retriesBefore = missedOne ? 0 : this.#retries;
    this.#requests = 0;
    this.#retries = 0;
    this.#windowEndsAt = now + WINDOW_MS;
  }
}
