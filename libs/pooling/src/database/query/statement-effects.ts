import { afterBlanks, firstWord } from './leading-words.js';
import { withoutComments, withoutQuoted } from './query-words.js';

/**
 * What a statement that has run may have changed about how other texts are read:
 *
 * - `schema`: tables, types, functions, for everybody, once its transaction is committed.
 * - `unsure`: perhaps the schema, perhaps the session: it has run code that can't be seen here.
 * - `session`: where its session looks names up.
 * - `literals`: how its session reads literals.
 * - `forgotten`: its session has no prepared statements any more.
 */
export type StatementEffect = 'none' | 'schema' | 'unsure' | 'session' | 'literals' | 'forgotten';

/** Settings by which names are looked up. */
const PATH_SETTINGS = new Set(['search_path', 'role', 'session_authorization', 'all']);
/** Settings by which literals and operators are read. */
const LITERAL_SETTINGS = new Set([
  'timezone',
  'datestyle',
  'intervalstyle',
  'standard_conforming_strings',
  'transform_null_equals',
  'array_nulls',
  'xmloption',
  'lc_monetary',
]);
/** Other names of some settings in `SET`, by their first word. */
const SETTING_WORDS: Readonly<Record<string, string>> = {
  schema: 'search_path',
  session: 'session_authorization',
  time: 'timezone',
  xml: 'xmloption',
};
const NOTHING: ReadonlySet<string> = new Set();
/** `SET x`, `SET LOCAL x`, `SET SESSION x`, `RESET x`: the name. */
const SETTING = /\b(?:re)?set\s+(?:local\s+|session\s+(?!authorization\b))?"?(\w+(?:\.\w+)?)/gi;
/** `set_config('x', …)`, `set_config($1, …)`: the literal or the parameter's number. */
const SET_CONFIG = /\bset_config"?\s*\(\s*(?:'([^']*)'|\$(\d+))?/gi;
/** A text that gives rows may make a table, or set something. The `INTO` with which an `INSERT` begins doesn't count. */
const SUSPICIOUS = /\b(?:set_config|create)\b|(?<!^\s*(?:insert|merge)\s+)\binto\b/i;
/** `INTO` of a `SELECT`; that of an `INSERT` or `MERGE` makes no table. */
const MAKES_TABLE = /(?<!\b(?:insert|merge)\s+)\binto\b/i;
/** The first words of texts that give or change rows, besides those that are their tags. */
const OF_ROWS = new Set(['WITH', 'VALUES', 'TABLE']);
/** Commands that end a transaction, or undo a part of it: with it, what was set in it. */
const UNDOING = new Set(['ROLLBACK', 'ABORT', 'COMMIT', 'END', 'PREPARE']);
/** `CREATE` at the beginning of a statement, or within an `EXPLAIN`, which runs it if it is to `ANALYZE`. */
const CREATES = /(?:^|;)\s*(?:explain\b[^;]*?\s)?create\b/i;
const TEMPORARY = /^\s*(?:explain\b[^;]*?\s)?create\s+(?:(?:global|local)\s+)?temp/i;
const SEVERAL = /;\s*\S/;
/** Longer texts aren't read through: that takes as long as sending them. In characters. */
const LONGEST_READ = 1_048_576;

/** Whether a text that gives or changes rows may also change how others are read. Asked once for each prepared text. */
export function mayChangeReading(text: string): boolean {
  return SUSPICIOUS.test(text) && ofRows(text, undefined, NOTHING) !== 'none';
}

/**
 * What a command has done, by the tag in the server's answer and by its text.
 *
 * @param values of the text's parameters.
 * @param reported settings whose changes the server reports by itself, in small letters.
 */
export function effectOf(
  tag: string,
  text: string,
  values: readonly unknown[] | undefined,
  reported: ReadonlySet<string> = NOTHING,
): StatementEffect {
  const end = tag.indexOf(' ');
  switch (end === -1 ? tag : tag.slice(0, end)) {
    case 'SELECT':
    case 'INSERT':
    case 'UPDATE':
    case 'DELETE':
    case 'MERGE':
    case 'FETCH':
    // What is explained may be run, and so is what is copied.
    case 'EXPLAIN':
    case 'COPY':
      return SUSPICIOUS.test(text) ? ofRows(text, values, reported) : 'none';
    case 'SET':
    case 'RESET':
      return ofSettings(text, reported);
    case 'CREATE':
    case 'ALTER':
    case 'DROP':
    case 'IMPORT':
      return ofCreation(text.slice(afterBlanks(text, 0)));
    case 'CALL':
    case 'DO':
    case 'REASSIGN':
      return 'unsure';
    case 'COMMIT':
      return tag === 'COMMIT PREPARED' ? 'unsure' : 'none';
    case 'DEALLOCATE':
      return tag === 'DEALLOCATE ALL' ? 'forgotten' : 'none';
    case 'DISCARD':
      return tag === 'DISCARD ALL' ? 'forgotten' : 'session';
    default:
      return 'none';
  }
}

/** What a text does that is sent and isn't answered: told by its first word, in place of a tag. */
export function effectWhenSent(text: string, values: readonly unknown[]): StatementEffect {
  const word = firstWord(text);
  if (UNDOING.has(word)) return 'session';
  return effectOf(OF_ROWS.has(word) ? 'SELECT' : word, text, values);
}

function ofRows(text: string, values: readonly unknown[] | undefined, reported: ReadonlySet<string>): StatementEffect {
  if (text.length > LONGEST_READ) return 'unsure';
  let effect: StatementEffect = 'none';
  for (const [, literal, parameter] of withoutComments(text).matchAll(SET_CONFIG)) {
    const name = literal ?? (parameter === undefined ? undefined : values?.[Number(parameter) - 1]);
    effect = stronger(effect, typeof name === 'string' ? ofSetting(name, reported) : 'session');
  }
  const bare = withoutQuoted(text);
  if (CREATES.test(bare)) return ofCreation(bare);
  return MAKES_TABLE.test(bare) ? 'unsure' : effect;
}

function ofCreation(text: string): StatementEffect {
  return TEMPORARY.test(text) && !SEVERAL.test(text) ? 'session' : 'schema';
}

function ofSettings(text: string, reported: ReadonlySet<string>): StatementEffect {
  let effect: StatementEffect = 'none';
  let found = false;
  for (const [, name] of withoutComments(text).matchAll(SETTING)) {
    found = true;
    effect = stronger(effect, ofSetting(SETTING_WORDS[(name as string).toLowerCase()] ?? (name as string), reported));
  }
  return found ? effect : 'session';
}

function ofSetting(given: string, reported: ReadonlySet<string>): StatementEffect {
  const name = given.toLowerCase();
  if (reported.has(name)) return 'none';
  if (PATH_SETTINGS.has(name)) return 'session';
  return LITERAL_SETTINGS.has(name) ? 'literals' : 'none';
}

function stronger(one: StatementEffect, other: StatementEffect): StatementEffect {
  if (one === 'session' || other === 'none') return one;
  return other;
}
