import type { Advice } from '../advice/advice.js';
import type { PoolLoad } from '../advice/load.js';
import type { Holder } from '../core/holders.js';
import type { PoolHistograms } from '../core/statistics.js';
import type { DatabasePoolStatistics } from '../database/database-statistics.js';
import type { StatementList } from '../database/query/statement-tally.js';
import type { HttpClientStatistics } from '../http/pool/statistics.js';

/** What the console shows of a database pool and can do to it. */
export interface ConsoleDatabase {
  readonly name: string;
  statistics(): DatabasePoolStatistics;
  histograms(): PoolHistograms;
  holders(): readonly Holder[];
  expireAll(): void;
  suspend(): void;
  resume(): void;
  resize(bounds: { readonly size?: number; readonly maxOverflow?: number }): void;
  /** Takes a connection from its holder; tells whether somebody held it. */
  terminate(connection: number): boolean;
}

/** What the console shows of an HTTP client. */
export interface ConsoleHttpClient {
  readonly name: string;
  statistics(): HttpClientStatistics;
}

/** The options of a pool or client in plain JSON, without secrets. */
export type PlainConfiguration = Readonly<Record<string, unknown>>;

/** Where the console gets everything from; the module room provides it. */
export abstract class ConsoleSource {
  /** The pools that the application uses. */
  abstract databases(): readonly ConsoleDatabase[];
  abstract httpClients(): readonly ConsoleHttpClient[];
  abstract configuration(kind: 'database' | 'http', name: string): PlainConfiguration;
  /** What was found when the advisor last looked. */
  abstract advice(): readonly Advice[];
  /** Lets the advisor look again. */
  abstract refreshAdvice(): Promise<void>;
  /** The load of a pool in the last minute. */
  abstract load(pool: string): PoolLoad | undefined;
  /** Has the statements of all pools counted from now on; called again for those that come later. */
  abstract countStatements(): void;
  /** The statements of a pool in the last minutes; `undefined`: nobody counts them. */
  abstract statements(pool: string): StatementList | undefined;
}
