import type { Client } from 'pg';
import type { HostOfQuery, QueryTraces } from '../query/query-traces.js';
import type { SlowQueries } from '../query/slow-queries.js';
import type { StatementCache } from '../query/statement-cache.js';
import type { SubmissionLimits } from '../query/submission.js';
import type { UnnamedTexts } from '../query/unnamed-texts.js';
import type { Session } from './session.js';
import type { StatementsUnderway, UnderwayHost } from './statements-underway.js';

/** What running statements needs of the pool. */
export interface RunnerHost extends UnderwayHost {
  /** What limits cursors, streams and `COPY`. */
  readonly submissions: SubmissionLimits;
  /** Which texts are prepared; `undefined`: none. */
  readonly statements: StatementCache | undefined;
  /** Texts that aren't prepared. */
  readonly unnamed: UnnamedTexts;
  /** Times the statements of borrowers; `undefined`: nobody does. */
  readonly slowQueries: SlowQueries | undefined;
  /** The comment that is appended to each text of a borrower; empty: none. */
  readonly comment: string;
  /** Tells tracers of the statements of borrowers. */
  readonly traces: QueryTraces;
}

/** What running statements needs of the connection. */
export interface RunnerConnection {
  readonly client: Client;
  readonly session: Session;
  readonly underway: StatementsUnderway;
  readonly alive: boolean;
  /** Which one of several hosts it goes to. */
  readonly hostTarget: HostOfQuery | undefined;
  /** Why it died by itself. */
  readonly failure: Error | undefined;
  readonly processId: number | undefined;
  readonly inTransaction: boolean;
  /** The connection has died by itself. */
  fail(error: Error): void;
  /** Destroys the socket now. */
  destroy(): void;
}
