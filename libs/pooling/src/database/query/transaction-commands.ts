import { afterBlanks, nextStatement, wordAt } from './leading-words.js';

/** What begins, ends or divides a transaction. */
export type TransactionCommand =
  | 'begin'
  | 'start transaction'
  | 'commit'
  | 'end'
  | 'rollback'
  | 'abort'
  | 'prepare transaction'
  | 'savepoint'
  | 'release'
  | 'rollback to';

/** The first words of those. */
const FIRST_WORD = /begin|start|commit|end|rollback|abort|prepare|savepoint|release/iy;

/** What the statement that begins there, or behind empty ones, does to its transaction; `undefined` of others. */
export function transactionCommandAt(text: string, from: number): TransactionCommand | undefined {
  const at = nextStatement(text, from);
  FIRST_WORD.lastIndex = at;
  if (!FIRST_WORD.test(text)) return undefined;
  const written = wordAt(text, at);
  const word = written.toLowerCase();
  switch (word) {
    case 'begin':
    case 'commit':
    case 'end':
    case 'abort':
    case 'savepoint':
    case 'release':
      return word;
    case 'start':
      return nextWord(text, at + written.length) === 'transaction' ? 'start transaction' : undefined;
    case 'prepare':
      return nextWord(text, at + written.length) === 'transaction' ? 'prepare transaction' : undefined;
    case 'rollback':
      return undoesPart(text, at + written.length) ? 'rollback to' : 'rollback';
    default:
      return undefined;
  }
}

/** The same of a text, by its first statement. */
export function transactionCommandOf(text: string): TransactionCommand | undefined {
  return transactionCommandAt(text, 0);
}

function nextWord(text: string, from: number): string {
  return wordAt(text, afterBlanks(text, from)).toLowerCase();
}

/** What follows `ROLLBACK`: `TO a`, `WORK TO a`, `TRANSACTION TO a`. */
function undoesPart(text: string, from: number): boolean {
  const at = afterBlanks(text, from);
  const word = wordAt(text, at);
  if (!/^(?:work|transaction)$/i.test(word)) return word.toLowerCase() === 'to';
  return nextWord(text, at + word.length) === 'to';
}
