import pg, { type Pool } from 'pg';
import { DatabasePool, spansFor } from 'nestjs-pooling';
import type { Tracing } from './worker.js';

const SIZE = 10;
const TEXT = 'select "id", "name", "city", "active", "created_at" from "customers" where "id" = $1';

/** Reads one customer. */
export type Querying = (id: number) => Promise<unknown>;

/** The pools that are measured. pg is loaded with this file. */
export function openSubjects(url: string): ReadonlyMap<Tracing, Querying> {
  const untraced = new DatabasePool('untraced', { url, size: SIZE, maxOverflow: 0 });
  const traced = new DatabasePool('traced', { url, size: SIZE, maxOverflow: 0 }, { spans: spansFor('native') });
  const others: Pool = new pg.Pool({ connectionString: url, max: SIZE });
  const byUntraced: Querying = (id) => untraced.query(TEXT, [id]);
  const byTraced: Querying = (id) => traced.query(TEXT, [id]);
  const byOthers: Querying = (id) => others.query(TEXT, [id]);
  return new Map<Tracing, Querying>([
    ['none, untraced', byUntraced],
    ['none, traced', byTraced],
    ['samples nothing, untraced', byUntraced],
    ['samples nothing, traced', byTraced],
    ['records, untraced', byUntraced],
    ['records, traced', byTraced],
    ['pg.Pool', byOthers],
    ['pg.Pool, instrumented', byOthers],
  ]);
}
