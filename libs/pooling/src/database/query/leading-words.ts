/**
 * What a text of SQL begins with, as PostgreSQL reads it (`src/backend/parser/scan.l`): white space is ASCII's, and a `--`
 * comment ends with a carriage return as well. Comments between slashes and stars hold others. A byte-order mark belongs to a
 * name.
 */

const LINE_END = /[\n\r]/g;
const COMMENT_EDGE = /\/\*|\*\//g;
const WORD = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;

const TAB = 9;
const CARRIAGE_RETURN = 13;
const SPACE = 32;
const OPENING_BRACKET = 40;
const STAR = 42;
const HYPHEN = 45;
const SLASH = 47;
const SEMICOLON = 59;
/** Makes a letter's code that of the small one. */
const SMALL = 0x20;

/** Where a comment between slash and star ends that begins there; one that isn't closed goes to the end of the text. */
export function endOfComment(text: string, start: number): number {
  let depth = 0;
  COMMENT_EDGE.lastIndex = start;
  do {
    const edge = COMMENT_EDGE.exec(text);
    if (edge === null) return text.length;
    depth += edge[0] === '/*' ? 1 : -1;
  } while (depth > 0);
  return COMMENT_EDGE.lastIndex;
}

function endOfLine(text: string, from: number): number {
  LINE_END.lastIndex = from;
  return LINE_END.exec(text)?.index ?? text.length;
}

/** Where a text goes on behind white space and comments. */
export function afterBlanks(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === SPACE || (code >= TAB && code <= CARRIAGE_RETURN)) at++;
    else if (code === HYPHEN && text.charCodeAt(at + 1) === HYPHEN) at = endOfLine(text, at + 2);
    else if (code === SLASH && text.charCodeAt(at + 1) === STAR) at = endOfComment(text, at);
    else return at;
  }
}

/** Where the next statement begins: behind white space, comments and statements that are empty. */
export function nextStatement(text: string, from: number): number {
  let at = afterBlanks(text, from);
  while (text.charCodeAt(at) === SEMICOLON) at = afterBlanks(text, at + 1);
  return at;
}

/** The word that begins there, as it is written; empty where none does. */
export function wordAt(text: string, at: number): string {
  WORD.lastIndex = at;
  return WORD.exec(text)?.[0] ?? '';
}

function firstWordFrom(text: string): number {
  let at = nextStatement(text, 0);
  while (text.charCodeAt(at) === OPENING_BRACKET) at = afterBlanks(text, at + 1);
  return at;
}

/** The word that tells what a text does, in capitals: its first one, which may stand in brackets. Empty where there is none. */
export function firstWord(text: string): string {
  return wordAt(text, firstWordFrom(text)).toUpperCase();
}

/** Whether that is this word. Makes nothing, and so may be asked of every statement. */
export function beginsWith(text: string, word: string): boolean {
  const at = firstWordFrom(text);
  for (let index = 0; index < word.length; index++) {
    if ((text.charCodeAt(at + index) | SMALL) !== (word.charCodeAt(index) | SMALL)) return false;
  }
  return wordAt(text, at + word.length) === '' && !/[\d$]/.test(text.charAt(at + word.length));
}
