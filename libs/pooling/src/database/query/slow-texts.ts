import { isSlow, SLOW_MS } from '../../core/slow-acquires.js';
import { UsualDuration } from './usual-duration.js';

/** How many texts are remembered. */
const MOST_TEXTS = 256;
/** Longer texts aren't remembered: they are mostly generated for one use. In characters. */
const LONGEST_TEXT = 32_768;

/** Texts that aren't prepared and usually take long. Of quick ones nothing is kept. */
export class SlowTexts {
  readonly #texts = new Map<string, UsualDuration>();

  /** Whether a text usually takes long. */
  has(text: string): boolean {
    return this.#texts.size > 0 && this.#texts.has(text);
  }

  /** Notes how long a run took, in milliseconds. */
  ran(text: string, ms: number): void {
    const known = this.#texts.size === 0 ? undefined : this.#texts.get(text);
    if (known === undefined) {
      if (ms >= SLOW_MS && text.length <= LONGEST_TEXT) this.#add(text, ms);
      return;
    }
    known.learn(ms);
    if (!isSlow(known.usualMs)) this.#texts.delete(text);
  }

  #add(text: string, ms: number): void {
    if (this.#texts.size >= MOST_TEXTS) this.#texts.delete(this.#texts.keys().next().value as string);
    const usual = new UsualDuration();
    usual.learn(ms);
    this.#texts.set(text, usual);
  }
}
