import pg, { type Pool } from 'pg';
import { DatabasePool, spansFor } from 'nestjs-pooling';
import { resolveTracing } from '../../../../libs/pooling/src/tracing/tracing-options.js';

const SIZE = 10;
const TEXT = 'select "id", "name", "city", "active", "created_at" from "customers" where "id" = $1';

/** Reads one customer. */
export type Querying = (id: number) => Promise<unknown>;

/** The pools that are measured. */
export interface Subjects {
  readonly own: Querying;
  readonly others: Querying;
  /** Turns the spans of our pool on and off. */
  trace(on: boolean): void;
}

/**
 * Opens them; pg is loaded with this file. Ours is one pool with its spans turned on and off: two that do the same differ by
 * more than what is looked for.
 */
export function openSubjects(url: string): Subjects {
  const spans = spansFor('native');
  const pool = new DatabasePool('traced', { url, size: SIZE, maxOverflow: 0 }, { spans });
  const others: Pool = new pg.Pool({ connectionString: url, max: SIZE });
  return {
    own: (id) => pool.query(TEXT, [id]),
    others: (id) => others.query(TEXT, [id]),
    trace: (on) => spans?.configure(on ? resolveTracing('native') : undefined),
  };
}
