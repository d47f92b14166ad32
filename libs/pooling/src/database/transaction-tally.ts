/** How many transactions of `@Transactional()` and `transactional()` have ended, by their outcome. */
export type TransactionOutcomes = {
  readonly committed: number;
  readonly 'rolled-back': number;
  /** `COMMIT` was sent and not answered. */
  readonly unknown: number;
};

/** A hook of `afterCommit` or `afterRollback` has thrown. */
export interface HookFailedReport {
  readonly pool: string;
  readonly hook: 'afterCommit' | 'afterRollback';
  readonly error: unknown;
  /** Where the transaction was begun, as far as that is known. */
  readonly begunAt?: string;
}

/** Who hears of hooks that fail. */
export interface HookObserver {
  hookFailed?(report: HookFailedReport): void;
}

/** Counts how ambient transactions end, and reports their hooks that failed. */
export class TransactionTally {
  readonly outcomes: Record<keyof TransactionOutcomes, number> = { committed: 0, 'rolled-back': 0, unknown: 0 };
  hookFailures = 0;
  readonly #observer: HookObserver;

  constructor(observer: HookObserver) {
    this.#observer = observer;
  }

  hookFailed(report: HookFailedReport): void {
    this.hookFailures++;
    this.#observer.hookFailed?.(report);
  }
}
