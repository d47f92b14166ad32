import { endOfComment, firstWord } from './leading-words.js';

/** What a statement may begin with. */
const COMMANDS: ReadonlySet<string> = new Set(
  (
    'ABORT ALTER ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DISCARD ' +
    'DO DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY PREPARE REASSIGN REFRESH ' +
    'REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TABLE TRUNCATE UNLISTEN UPDATE VACUUM ' +
    'VALUES WITH'
  ).split(' '),
);

/** What a statement does, by its first word: `SELECT`; empty where that isn't one of SQL's. */
export function commandOf(text: string): string {
  const word = firstWord(text);
  return COMMANDS.has(word) ? word : '';
}

/** Comments: those between slashes and stars by their beginning, as they may hold others. */
const COMMENT = /--[^\n\r]*|\/\*/;

/**
 * SQL's words, as PostgreSQL reads them: comments; quoted names; texts between dollars, with escapes, or plain, bit strings
 * included; parameters; names and keywords; numbers. What isn't closed goes to the end. One run of a pattern stands for all that
 * is alike: with a choice for each character, a text of 20 MB takes more stack than there is.
 */
const WORDS = patternOf(
  COMMENT,
  /(?<name>"[^"]*(?:""[^"]*)*(?:"|$)|\$\d+|(?!(?:[ebxn]|u&)')[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
  /(?<text>\$(?<tag>(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[^]*?(?:\$\k<tag>\$|$)|e'[^'\\]*(?:(?:\\[^]|'')[^'\\]*)*(?:'|$)|(?:[bxn]|u&)?'[^']*(?:''[^']*)*(?:'|$))/,
  /(?<number>(?:0[xob][\da-f_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?))/,
);

/** Comments, texts and quoted names that are closed. A dollar within a name, or an `e` at the end of one, begins no text. */
const QUOTED = patternOf(
  COMMENT,
  /\$(?<![\w$\u0080-\uffff]\$)(?<tag>(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[^]*?\$\k<tag>\$/,
  /e(?<![\w$\u0080-\uffff]e)'[^'\\]*(?:(?:\\[^]|'')[^'\\]*)*'/,
  /'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"/,
);

function patternOf(...kinds: readonly RegExp[]): RegExp {
  return new RegExp(kinds.map(({ source }) => source).join('|'), 'gi');
}

/** A text without its literals and comments: they may hold personal data. */
export function withoutLiterals(text: string): string {
  return replaceWords(text, WORDS, ({ 0: word, index, groups }, end) => {
    const { name, text: literal, number } = groups as Record<'name' | 'text' | 'number', string | undefined>;
    if (name !== undefined) return word;
    return literal === undefined && number === undefined ? blankFor(text, index, end) : '?';
  });
}

/** A text without what does nothing by itself: comments, the contents of literals, quoted names. */
export function withoutQuoted(text: string): string {
  if (!text.includes('/*')) return text.replace(QUOTED, ' ');
  return replaceWords(text, QUOTED, () => ' ');
}

/** A text without its comments. */
export function withoutComments(text: string): string {
  if (!text.includes('/*') && !text.includes('--')) return text;
  return replaceWords(text, QUOTED, ({ 0: word }) => (word === '/*' || word.startsWith('--') ? ' ' : word));
}

/** A comment parts words: it leaves a blank where nothing else is between them. */
function blankFor(text: string, start: number, end: number): string {
  const alone = start > 0 && end < text.length && !/\s/.test(text.charAt(start - 1)) && !/\s/.test(text.charAt(end));
  return alone ? ' ' : '';
}

function replaceWords(
  text: string,
  pattern: RegExp,
  replacement: (word: RegExpExecArray, end: number) => string,
): string {
  let replaced = '';
  let at = 0;
  pattern.lastIndex = 0;
  for (let word = pattern.exec(text); word !== null; word = pattern.exec(text)) {
    if (word[0] === '/*') pattern.lastIndex = endOfComment(text, word.index);
    replaced += text.slice(at, word.index) + replacement(word, pattern.lastIndex);
    at = pattern.lastIndex;
  }
  return replaced + text.slice(at);
}
