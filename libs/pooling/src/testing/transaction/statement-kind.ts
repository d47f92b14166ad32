import { nextStatement } from '../../database/query/leading-words.js';
import { withoutComments, withoutLiterals } from '../../database/query/query-words.js';

/**
 * What a text means to a transaction that runs in another one:
 *
 * - `begin`, `commit`, `rollback`: its course; `chain`: another one begins at once.
 * - `mode`: how it is to run. Only whether it may write can be said of a part.
 * - `back`: a savepoint of its own is undone.
 * - `refused`: it can't be done in a part of a transaction.
 * - `plain`: everything else.
 */
export type StatementKind =
  | { readonly kind: 'begin' | 'mode'; readonly accessMode: 'read only' | 'read write' | undefined }
  | { readonly kind: 'commit' | 'rollback'; readonly chain: boolean }
  | { readonly kind: 'back' | 'plain' }
  | { readonly kind: 'refused'; readonly why: string };

const PLAIN: StatementKind = { kind: 'plain' };

const BEGIN = /^(?:begin|start\s+transaction)\b/i;
const COMMIT = /^(?:commit|end)\b/i;
const ROLLBACK = /^(?:rollback|abort)\b/i;
const BACK = /^rollback\s+(?:work\s+|transaction\s+)?to\b/i;
const MODE = /^set\s+transaction\s+(?!snapshot\b)/i;
const TWO_PHASES = /^(?:prepare\s+transaction|(?:commit|rollback)\s+prepared)\b/i;
const LISTEN = /^listen\b/i;
const CHAIN = /\band\s+chain\b/i;
/** The body of a function in SQL's own words has semicolons of its own. */
const SQL_BODY = /^create\b[^;]*\bbegin\s+atomic\b/i;

/** What a text means to a transaction that runs in another one. */
export function kindOf(text: string): StatementKind {
  const bare = withoutLiterals(text).trim();
  if (SQL_BODY.test(bare)) return PLAIN;
  const statements = bare
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
  const [first = ''] = statements;
  if (statements.length <= 1) return kindOfOne(first);
  const course = statements.find((statement) => !['plain', 'back'].includes(kindOfOne(statement).kind));
  return course === undefined
    ? PLAIN
    : { kind: 'refused', why: `${firstWords(course)} stands among other statements in one text` };
}

function kindOfOne(statement: string): StatementKind {
  if (TWO_PHASES.test(statement))
    return { kind: 'refused', why: `${firstWords(statement)} needs a transaction of its own` };
  if (LISTEN.test(statement)) return { kind: 'refused', why: 'LISTEN takes effect with a commit that never comes' };
  if (BEGIN.test(statement)) return { kind: 'begin', accessMode: accessModeOf(statement) };
  if (MODE.test(statement)) return { kind: 'mode', accessMode: accessModeOf(statement) };
  if (COMMIT.test(statement)) return { kind: 'commit', chain: CHAIN.test(statement) };
  if (BACK.test(statement)) return { kind: 'back' };
  if (ROLLBACK.test(statement)) return { kind: 'rollback', chain: CHAIN.test(statement) };
  return PLAIN;
}

function accessModeOf(statement: string): 'read only' | 'read write' | undefined {
  const mode = /\bread\s+(only|write)\b/i.exec(statement)?.[1]?.toLowerCase();
  return mode === undefined ? undefined : mode === 'only' ? 'read only' : 'read write';
}

function firstWords(statement: string): string {
  return /^\w+(?:\s+(?:transaction|prepared))?/i.exec(statement)?.[0].toUpperCase() ?? statement;
}

/** `SET LOCAL x`. */
const SET_LOCAL = /^set\s+local\s+"?([\w.]+)/i;
/** `set_config('x', …, true)`, `set_config($1, …, true)`. */
const SET_CONFIG = /\bset_config\s*\(\s*(?:'([^']*)'|\$(\d+))\s*,[^()]*,\s*true\s*\)/gi;

/** The settings that a statement makes for its transaction alone. */
export function localSettingsOf(text: string, values: readonly unknown[]): string[] {
  const bare = withoutComments(text);
  const local = SET_LOCAL.exec(bare.slice(nextStatement(bare, 0)))?.[1];
  if (local !== undefined) return [local];
  const names: string[] = [];
  for (const [, literal, parameter] of bare.matchAll(SET_CONFIG)) {
    const name = literal ?? values[Number(parameter) - 1];
    if (typeof name === 'string') names.push(name);
  }
  return names;
}
