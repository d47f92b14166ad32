import { showText } from '../../core/shown-text.js';
import { withoutLiterals } from './query-words.js';
import { StatementFigures, StatementSums, type StatementTotals } from './statement-figures.js';
import { transactionCommandOf } from './transaction-commands.js';

/** How much of a text is read, and how much of it is shown, in characters. */
const READ_LENGTH = 2_000;
const SHOWN_LENGTH = 500;
/** More handlers than these are counted as one. */
const MOST_HANDLERS = 10;
/** Who those are. */
const OTHER_HANDLERS = 'others';

/** Placeholders in a row, and rows of them: how many there are makes no other statement. */
const PLACEHOLDERS = /(\$\d+|\?)(?:\s*,\s*(?:\$\d+|\?))+/g;
const ROWS_OF_PLACEHOLDERS = /(\((?:\$\d+|\?)(?:, …)?\))(?:\s*,\s*\((?:\$\d+|\?)(?:, …)?\))+/g;

/**
 * What different uses of a statement have in common: its text in one line, cut, without literals and comments, lists of
 * parameters shortened.
 */
export function commonText(text: string): string {
  const command = transactionCommandOf(text);
  if (command !== undefined) return command;
  const line = withoutLiterals(text.slice(0, READ_LENGTH))
    .replace(PLACEHOLDERS, '$1, …')
    .replace(ROWS_OF_PLACEHOLDERS, '$1, …')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length <= SHOWN_LENGTH
    ? showText(line)
    : `${showText(line.slice(0, SHOWN_LENGTH).replace(/[\ud800-\udbff]$/, ''))}…`;
}

/** A statement, and on whose behalf it was run. */
export class CountedText {
  /** As {@link commonText} gives it. */
  readonly text: string;
  /** Whether it had to give way to others: what is counted from now on is counted anew. */
  dropped = false;
  /** The period of its last use. */
  lastPeriod = 0;
  readonly #handlers: StatementFigures[] = [];
  #last: StatementFigures | undefined = undefined;

  constructor(text: string) {
    this.text = text;
  }

  /** What it has come to on behalf of a handler. */
  of(handler: string | undefined): StatementFigures {
    const last = this.#last;
    if (last !== undefined && last.handler === handler) return last;
    return (this.#last = this.#find(handler));
  }

  #find(handler: string | undefined): StatementFigures {
    const known = this.#handlers.find((figures) => figures.handler === handler);
    if (known !== undefined) return known;
    if (this.#handlers.length >= MOST_HANDLERS && handler !== OTHER_HANDLERS) return this.#find(OTHER_HANDLERS);
    const figures = new StatementFigures(handler);
    this.#handlers.push(figures);
    return figures;
  }

  /** What it has come to for all of them. */
  totals(period: number): StatementTotals {
    const sums = new StatementSums();
    for (const figures of this.#handlers) figures.addTo(sums, period);
    return sums.totals();
  }

  /** The same for each of those that are known; empty where none is. */
  byHandler(period: number): (StatementTotals & { readonly handler: string | undefined })[] {
    if (this.#handlers.every(({ handler }) => handler === undefined)) return [];
    return this.#handlers
      .map((figures) => {
        const sums = new StatementSums();
        figures.addTo(sums, period);
        return { handler: figures.handler, ...sums.totals() };
      })
      .filter(({ count }) => count > 0)
      .toSorted((one, other) => other.totalMs - one.totalMs);
  }
}
