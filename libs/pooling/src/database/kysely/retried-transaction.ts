import { inRequest, presentRequest } from '../../core/request-context.js';
import type { TransactionOperation } from '../../core/tracing-channels.js';
import type { QueryTraces } from '../query/query-traces.js';
import type { TracedSettings, TracedTransaction } from '../query/traced-transaction.js';

/** A transaction with retries, as tracers see it: one span for all tries. */
export class RetriedTransaction {
  #trace: TracedTransaction | undefined = undefined;
  #running = false;
  #outcome: TransactionOperation['outcome'] = undefined;

  /** Runs all tries of a transaction. */
  static async over<Result>(tries: () => Promise<Result>): Promise<Result> {
    const retried = new RetriedTransaction();
    try {
      const result = await inRequest({ retried }, tries);
      retried.#trace?.end(retried.#outcome);
      return result;
    } catch (error) {
      retried.#trace?.end(retried.#outcome, error);
      throw error;
    }
  }

  /** Traces a transaction that begins now. The first one of each try belongs to the common span; inner ones have their own. */
  static begin(traces: QueryTraces, settings: TracedSettings, batchSize?: number): TransactionTrace | undefined {
    const retried = presentRequest()?.retried;
    if (!(retried instanceof RetriedTransaction) || retried.#running) {
      const trace = begun(traces.transaction(settings, batchSize));
      if (trace === undefined) return undefined;
      trace.attempts++;
      return { trace, end: (outcome, error) => trace.end(outcome, error) };
    }
    const trace = (retried.#trace ??= begun(traces.transaction(settings, batchSize)));
    if (trace === undefined) return undefined;
    trace.attempts++;
    retried.#running = true;
    const end: TransactionTrace['end'] = (outcome) => {
      retried.#running = false;
      retried.#outcome = outcome;
    };
    return { trace, end };
  }
}

/** What tracers hear of a transaction, and how its end is told. */
export interface TransactionTrace {
  readonly trace: TracedTransaction;
  end(outcome: TransactionOperation['outcome'], error?: unknown): void;
}

function begun(trace: TracedTransaction | undefined): TracedTransaction | undefined {
  trace?.begin(() => {});
  return trace;
}
