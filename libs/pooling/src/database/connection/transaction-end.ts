import { textOf, type QueryText } from '../query/query-forms.js';
import type { Submittable } from 'pg';

/** `ROLLBACK TO` a savepoint ends nothing. */
const END = String.raw`(?:commit|end|abort|rollback(?!\s+(?:work\s+|transaction\s+)?to\b)|prepare\s+transaction)\b`;
const BEGINS_WITH_END = new RegExp(`^${END}`, 'i');
const HOLDS_END = new RegExp(String.raw`;\s*${END}`, 'i');

/**
 * Whether a text that is run in a transaction may end it, as its first statement or a later one. Not certain: a string or
 * the body of a `DO` may hold the same words.
 */
export function mayEndTransaction(query: QueryText | Submittable): boolean {
  const text = textOf(query);
  return BEGINS_WITH_END.test(withoutLeadingComments(text)) || (text.includes(';') && HOLDS_END.test(text));
}

function withoutLeadingComments(text: string): string {
  let rest = text.trimStart();
  for (;;) {
    const end = rest.startsWith('--') ? rest.indexOf('\n') : rest.startsWith('/*') ? rest.indexOf('*/') : -1;
    if (end < 0) return rest;
    rest = rest.slice(end + (rest.startsWith('--') ? 1 : 2)).trimStart();
  }
}

/** A statement that was asked for while the end of a transaction was under way. */
export interface HeldStatement {
  run(): void;
  /** The client was given back: it may not run any more. */
  refuse(): void;
}

/**
 * Statements that a borrower asks for after `COMMIT` or `ROLLBACK` was sent and before it is answered. `pg` would send them
 * at once, and each would be committed by itself. Mostly they were meant for the transaction: the rest of a `Promise.all` of
 * which one has failed, or a forgotten `await`. So they wait until the caller has the answer and could give the client back.
 */
export class HeldStatements {
  readonly #statements: HeldStatement[] = [];

  get none(): boolean {
    return this.#statements.length === 0;
  }

  add(statement: HeldStatement): void {
    this.#statements.push(statement);
  }

  /** Runs them in order, or refuses them. */
  settle(released: () => boolean): void {
    for (const statement of this.#statements) {
      if (released()) statement.refuse();
      else statement.run();
    }
  }
}
