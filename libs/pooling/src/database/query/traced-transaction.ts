import { Traced } from '../../core/traced.js';
import { transactionOperations, type TransactionOperation } from '../../core/tracing-channels.js';

/** How a transaction is begun. */
export interface TracedSettings {
  readonly isolationLevel?: string | undefined;
  readonly accessMode?: string | undefined;
}

/** One transaction, as tracers see it: its statements belong into its span. */
export class TracedTransaction extends Traced implements TransactionOperation {
  readonly isolationLevel: string | undefined;
  readonly accessMode: string | undefined;
  readonly batchSize: number | undefined;
  attempts = 0;
  outcome: TransactionOperation['outcome'] = undefined;

  constructor(pool: string, { isolationLevel, accessMode }: TracedSettings, batchSize: number | undefined) {
    super(transactionOperations, pool);
    this.isolationLevel = isolationLevel;
    this.accessMode = accessMode;
    // By the conventions, one statement is no batch.
    this.batchSize = batchSize === 1 ? undefined : batchSize;
  }

  /** It is over. */
  end(outcome: TransactionOperation['outcome'], error?: unknown): void {
    this.outcome ??= outcome;
    this.finish(error);
  }
}
