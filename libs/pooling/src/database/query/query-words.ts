/** What a statement may begin with. */
const COMMANDS: ReadonlySet<string> = new Set(
  (
    'ABORT ALTER ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DISCARD ' +
    'DO DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY PREPARE REASSIGN REFRESH ' +
    'REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TABLE TRUNCATE UNLISTEN UPDATE VACUUM ' +
    'VALUES WITH'
  ).split(' '),
);

const FIRST_WORD = /^(?:[\s(;]|--[^\n]*|\/\*[^]*?\*\/)*([a-z]+)/i;

/** What a statement does, by its first word: `SELECT`; empty where that isn't one of SQL's. */
export function commandOf(text: string): string {
  const word = FIRST_WORD.exec(text)?.[1]?.toUpperCase() ?? '';
  return COMMANDS.has(word) ? word : '';
}

/** Commands that begin, end or divide a transaction. */
const TRANSACTION_COMMAND = /^\s*(begin|start\s+transaction|commit|rollback\s+to|rollback|savepoint|release)\b/i;

/** Whether a statement begins, ends or divides a transaction. */
export function isTransactionCommand(text: string): boolean {
  return TRANSACTION_COMMAND.test(text);
}

/** What such a statement does, without the name of its savepoint: `rollback to`; `undefined` of others. */
export function transactionCommandOf(text: string): string | undefined {
  return TRANSACTION_COMMAND.exec(text)?.[1]?.toLowerCase().replace(/\s+/, ' ');
}

/**
 * SQL's words, as PostgreSQL reads them: comments; quoted names; texts between dollars, with escapes, or plain, bit strings
 * included; parameters; names and keywords; numbers. What isn't closed goes to the end.
 */
const WORDS = new RegExp(
  [
    /--[^\n]*|\/\*[^]*?(?:\*\/|$)/,
    /(?<name>"(?:""|[^"])*(?:"|$)|\$\d+|(?!(?:[ebxn]|u&)')[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
    /(?<text>\$(?<tag>(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[^]*?(?:\$\k<tag>\$|$)|e'(?:\\[^]|''|[^'\\])*(?:'|$)|(?:[bxn]|u&)?'(?:''|[^'])*(?:'|$))/,
    /(?<number>(?:0[xob][\da-f_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?))/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gi',
);

/** A text without its literals and comments: they may hold personal data. */
export function withoutLiterals(text: string): string {
  return text.replace(WORDS, (word, ...rest) => {
    const { name, text: literal, number } = rest.at(-1) as Record<'name' | 'text' | 'number', string | undefined>;
    if (name !== undefined) return word;
    return literal === undefined && number === undefined ? '' : '?';
  });
}
