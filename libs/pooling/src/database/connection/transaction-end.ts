import { afterBlanks, wordAt } from '../query/leading-words.js';
import { textOf, type QueryText } from '../query/query-forms.js';
import { transactionCommandAt } from '../query/transaction-commands.js';
import type { Submittable } from 'pg';

/** A semicolon before what may end a transaction, or before a comment. */
const BEFORE_END = /;\s*(?:--|\/\*|commit|end|abort|rollback|prepare)/gi;
/** How often over a text is read before it is taken for one that ends its transaction. */
const MOST_READINGS = 8;

/**
 * Whether a text that is run in a transaction may end it, as its first statement or a later one. Not certain: a string or
 * the body of a `DO` may hold the same words.
 */
export function mayEndTransaction(query: QueryText | Submittable): boolean {
  const text = textOf(query);
  return endsAt(text, 0) || (text.includes(';') && mayEndLater(text));
}

/** Strings aren't looked for: how they are read depends on the session. */
function mayEndLater(text: string): boolean {
  let read = 0;
  BEFORE_END.lastIndex = 0;
  for (let found = BEFORE_END.exec(text); found !== null; found = BEFORE_END.exec(text)) {
    const next = afterBlanks(text, found.index + 1);
    // Empty statements would be passed over to the end of the text: a later semicolon is found by itself.
    if (text.charAt(next) !== ';' && endsAt(text, next)) return true;
    // Many semicolons with a long comment behind each are within one another: nobody writes that by hand.
    read += afterCommand(text, next) - found.index;
    if (read > MOST_READINGS * text.length) return true;
    BEFORE_END.lastIndex = found.index + 1;
  }
  return false;
}

/** How far a command has to be read at most: `ROLLBACK WORK TO`. */
function afterCommand(text: string, from: number): number {
  let at = from;
  for (let words = 0; words < 2; words++) at = afterBlanks(text, at + wordAt(text, at).length);
  return at;
}

function endsAt(text: string, from: number): boolean {
  switch (transactionCommandAt(text, from)) {
    case 'commit':
    case 'end':
    case 'rollback':
    case 'abort':
    case 'prepare transaction':
      return true;
    default:
      return false;
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
