import type { ServerFacts } from './server-facts.js';

/**
 * Whether sessions are read-only from their start. What a session was set to later doesn't count: it says nothing about the
 * server, and behind a pooler it may be another client's.
 */
const READ_ONLY = `(select reset_val from pg_settings where name = 'default_transaction_read_only') = 'on'`;

/** Asks a server for its role; see {@link factsOfRow}. */
export const ROLE_QUESTION = `select pg_is_in_recovery() as standby, ${READ_ONLY} as read_only`;

/** The answer to {@link ROLE_QUESTION}. */
export function factsOfRow(row: unknown): ServerFacts {
  const { standby, read_only: readOnly } = row as { readonly standby: boolean; readonly read_only: boolean };
  return { standby, readOnly: standby || readOnly };
}

/** The role of a server as a number in SQL, from 1 on; see {@link factsOfNumber}. */
export const ROLE_NUMBER = `case when pg_is_in_recovery() then 3 when ${READ_ONLY} then 2 else 1 end`;

/** How many numbers of roles there are. */
export const ROLE_NUMBERS = 3;

/** What the number of a role means. */
export function factsOfNumber(role: number): ServerFacts {
  return { standby: role === ROLE_NUMBERS, readOnly: role > 1 };
}
