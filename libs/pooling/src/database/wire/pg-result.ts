import type { QueryResult } from 'pg';
import { copyFields } from '../pg-values.js';
import { pg } from '../pg.js';
import { WireQuery } from './wire-query.js';

/** The answer to a query as the users of `pg` know it. */
export function asPgResult(answer: QueryResult): QueryResult {
  if (!(answer instanceof WireQuery)) return answer;
  const result = new pg.Result('object' as never, pg.types as never) as unknown as QueryResult & {
    addCommandComplete(message: { readonly text: string }): void;
  };
  result.rows = answer.rows;
  result.fields = copyFields(answer.fields);
  result.addCommandComplete({ text: answer.tag });
  return result;
}
