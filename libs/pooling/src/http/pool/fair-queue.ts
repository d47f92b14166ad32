import { LinkedList } from '../../core/linked-list.js';
import type { Borrower, Origin } from './origin.js';

/**
 * Exchanges without a place within the limits: first come, first served within an origin, and the origins in turn.
 * Everything takes constant time, however many wait.
 */
export class FairQueue {
  /** Origins with waiters that only the total limit holds back. The next one is first. */
  readonly #ring = new LinkedList<Origin>();
  readonly #heldBack: (origin: Origin) => boolean;
  #length = 0;

  /** `heldBack` tells whether an origin can't be served even if the total limit had room. */
  constructor(heldBack: (origin: Origin) => boolean) {
    this.#heldBack = heldBack;
  }

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** The origin whose turn it is; `undefined`: nobody waits for the total limit. */
  get turn(): Origin | undefined {
    return this.#ring.first;
  }

  push(exchange: Borrower): void {
    exchange.origin.waiting.push(exchange);
    this.#length++;
    this.update(exchange.origin);
  }

  /** Puts an exchange that had its turn already before all others of its origin. */
  putBack(exchange: Borrower): void {
    exchange.origin.waiting.unshift(exchange);
    this.#length++;
    this.update(exchange.origin);
  }

  /** Takes the exchange of an origin that has waited longest; {@link update} the origin afterwards. */
  take(origin: Origin): Borrower | undefined {
    const exchange = origin.waiting.shift();
    if (exchange !== undefined) this.#length--;
    return exchange;
  }

  /** Takes an exchange out; returns whether it stood here. */
  remove(exchange: Borrower): boolean {
    if (!exchange.origin.waiting.remove(exchange)) return false;
    this.#length--;
    this.update(exchange.origin);
    return true;
  }

  /** The origin has had its turn: it goes to the end, if it still has anything there. */
  passTurn(origin: Origin): void {
    this.#ring.remove(origin);
    this.update(origin);
  }

  /** To be called whenever an origin's waiters or connections in use have changed. */
  update(origin: Origin): void {
    const takesTurns = origin.waiting.length > 0 && !this.#heldBack(origin);
    if (takesTurns === origin.listed) return;
    if (takesTurns) this.#ring.push(origin);
    else this.#ring.remove(origin);
  }
}
