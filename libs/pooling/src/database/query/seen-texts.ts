/** How many texts are remembered. */
const MOST_SEEN = 4_096;
/** Longer texts aren't remembered: they are mostly generated for one use. In characters. */
const LONGEST_TEXT = 32_768;

/** Texts that were seen once. Caches keep a text from its second use on, so that one-off texts don't fill them. */
export class SeenTexts {
  readonly #texts = new Set<string>();

  /** Whether a text is seen for the second time. It is forgotten then. */
  again(text: string): boolean {
    if (text.length > LONGEST_TEXT) return false;
    if (this.#texts.delete(text)) return true;
    if (this.#texts.size >= MOST_SEEN) this.#texts.clear();
    this.#texts.add(text);
    return false;
  }
}
