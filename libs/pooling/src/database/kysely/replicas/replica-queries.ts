import type { CompiledQuery, QueryResult } from 'kysely';
import type { QueryResult as PgQueryResult } from 'pg';
import type { QueryTraces } from '../../query/query-traces.js';
import type { SingleQueries } from '../../query/single-queries.js';
import type { ReplicaReads } from '../../replicas/replica-reads.js';
import { runBatch } from '../batch-run.js';
import type { ConnectionWay } from '../connection-way.js';
import { kyselyResult } from '../kysely-result.js';
import { isLogging, logged } from '../logged-queries.js';
import { querySummary } from '../query-summary.js';
import { isRead } from '../read-query.js';
import { textOfCompiled } from '../unprepared-plugin.js';

/** Runs single queries on replicas, and on the primary where none will do. */
export class ReplicaQueries {
  readonly #reads: ReplicaReads;
  readonly #way: ConnectionWay;
  readonly #primary: SingleQueries;

  /** @param way to the replicas. */
  constructor(reads: ReplicaReads, way: ConnectionWay, primary: SingleQueries) {
    this.#reads = reads;
    this.#way = way;
    this.#primary = primary;
  }

  async execute<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    // What isn't known to read goes along with a BEGIN and a COMMIT: the primary must refuse it as a replica does.
    if (!isRead(query)) return (await runBatch(this.#way, [query]))[0] as QueryResult<Row>;
    const { log } = this.#way;
    const read = (): Promise<PgQueryResult> => this.#read(query);
    return kyselyResult<Row>(await (isLogging(log) ? logged(log, query, read) : read()));
  }

  async #read(query: CompiledQuery): Promise<PgQueryResult> {
    const text = textOfCompiled(query);
    const values = query.parameters as unknown[];
    const learn = (traces: QueryTraces): void => {
      if (traces.heard) traces.learn(query.sql, values.length > 0, () => querySummary(query.query));
    };
    const answer = await this.#reads.run({ text, values, learn });
    if (answer !== undefined) return answer;
    learn(this.#primary.traces);
    return await this.#primary.run(text, values, true, true);
  }
}
