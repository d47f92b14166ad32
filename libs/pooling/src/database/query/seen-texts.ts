/** How many texts are remembered. */
const MOST_SEEN = 4_096;
/** Longer texts are rather made once than again and again, in characters. */
const LONGEST_TEXT = 32_768;

/** Texts seen once: what is worth keeping is kept from its second use on, so that one-off texts fill nothing. */
export class SeenTexts {
  readonly #texts = new Set<string>();

  /** Whether a text is seen for the second time; the next time is a first one again. */
  again(text: string): boolean {
    if (text.length > LONGEST_TEXT) return false;
    if (this.#texts.delete(text)) return true;
    if (this.#texts.size >= MOST_SEEN) this.#texts.clear();
    this.#texts.add(text);
    return false;
  }
}
