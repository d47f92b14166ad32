import { showText } from '../../core/shown-text.js';

/** How much of a statement is shown to people. */
const SHOWN_STATEMENT_LENGTH = 200;

/** A statement for logs and errors: one line, cut, without control characters. */
export function shortenStatement(text: string): string {
  const line = text
    .slice(0, 4 * SHOWN_STATEMENT_LENGTH)
    .replace(/\s+/g, ' ')
    .trim();
  if (line.length <= SHOWN_STATEMENT_LENGTH) return showText(line);
  // Half a surrogate pair at the end would be shown as an escape.
  return `${showText(line.slice(0, SHOWN_STATEMENT_LENGTH - 1).replace(/[\ud800-\udbff]$/, ''))}…`;
}
