/** How much of a statement is shown to people. */
const SHOWN_STATEMENT_LENGTH = 200;

/** A statement as people see it: one line, cut. */
export function shortenStatement(text: string): string {
  const line = text
    .slice(0, 4 * SHOWN_STATEMENT_LENGTH)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > SHOWN_STATEMENT_LENGTH ? `${line.slice(0, SHOWN_STATEMENT_LENGTH - 1)}…` : line;
}
