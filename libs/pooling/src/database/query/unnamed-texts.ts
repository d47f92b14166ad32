import { isPreparable, parametersOf, textOf, type QueryText } from './query-forms.js';
import { withComment } from './query-comment.js';
import { SeenTexts } from './seen-texts.js';
import { UnnamedText, type WireText } from './unnamed-text.js';

/** How many texts are known. */
const MOST_KNOWN = 256;

/** Texts that aren't prepared. Of texts that recur, the shape of their last rows is kept. */
export class UnnamedTexts {
  readonly #known = new Map<string, UnnamedText>();
  readonly #seen = new SeenTexts();
  /** The comment that is appended to each text. */
  readonly #comment: string;

  constructor(comment = '') {
    this.#comment = comment;
  }

  /** A text as it is sent. */
  of(text: string): UnnamedText {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const unnamed = new UnnamedText(text, withComment(text, this.#comment));
    if (!this.#seen.again(text)) return unnamed;
    if (this.#known.size >= MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
    this.#known.set(text, unnamed);
    return unnamed;
  }

  /**
   * A query as it is sent without being prepared; `undefined`: it is left to pg.
   *
   * @param single whether the text is known to hold one statement.
   */
  prepare(config: QueryText, values: unknown[] | undefined, single = false): UnnamedText | undefined {
    return isPreparable(config, parametersOf(config, values), single) ? this.of(textOf(config)) : undefined;
  }

  /** Whether a text may run on a shared connection: never, because its usual duration isn't known. */
  shareable(text: WireText): boolean {
    return text.shareable;
  }

  /** How long a text usually takes, in milliseconds: `Infinity`, nobody knows. */
  usualMs(): number {
    return Infinity;
  }
}
