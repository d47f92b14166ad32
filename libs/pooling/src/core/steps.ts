import { asNobody } from './async-context.js';
import type { Connector } from './connector.js';
import type { Deadlines } from './deadlines.js';
import type { PoolEntry, StepState } from './pool-entry.js';
import type { PoolOptions } from './pool-options.js';
import type { Slots } from './slots.js';
import type { CloseReason } from './statistics.js';

/** What a step is called in the error of one that took too long. */
const STEP_NAMES: Readonly<Record<StepState, string>> = {
  checking: 'the check',
  preparing: 'onAcquire',
  resetting: 'the reset',
};

/**
 * What the pool waits for the connector to do with an open connection: a ping, a reset, a hook. Each has a time limit and
 * exactly one outcome, unless the connection is closed meanwhile: then it has none.
 */
export class Steps<T> {
  readonly #slots: Slots<T>;
  readonly #deadlines: Deadlines;
  readonly #connector: Connector<T>;
  readonly #limits: Readonly<Record<StepState, number>>;

  constructor(
    slots: Slots<T>,
    deadlines: Deadlines,
    connector: Connector<T>,
    options: Pick<PoolOptions, 'pingTimeoutMs' | 'connectTimeoutMs'>,
  ) {
    const { pingTimeoutMs, connectTimeoutMs } = options;
    this.#slots = slots;
    this.#deadlines = deadlines;
    this.#connector = connector;
    this.#limits = { checking: pingTimeoutMs, preparing: connectTimeoutMs, resetting: pingTimeoutMs };
  }

  /** Checks a connection with a round trip. */
  ping(entry: PoolEntry<T>, alive: (entry: PoolEntry<T>) => void, failed: (entry: PoolEntry<T>) => void): void {
    this.#slots.step(entry, 'checking');
    const ping = (this.#connector.ping as NonNullable<Connector<T>['ping']>)(entry.connection as T);
    this.#bound(entry, 'checking', ping, alive, failed);
  }

  /** Waits for what the pool's owner does with a connection, which proves it alive. */
  visit(
    entry: PoolEntry<T>,
    visit: (connection: T) => Promise<void>,
    done: (entry: PoolEntry<T>) => void,
    failed: (entry: PoolEntry<T>) => void,
  ): void {
    this.#slots.step(entry, 'checking');
    this.#bound(entry, 'checking', asNobody(visit, entry.connection as T), done, failed);
  }

  /** Waits for a reset that is under way; it tells why the connection has to be closed, if it has to. */
  reset(
    entry: PoolEntry<T>,
    reset: Promise<CloseReason | undefined>,
    done: (entry: PoolEntry<T>, reason: CloseReason | undefined) => void,
    failed: (entry: PoolEntry<T>) => void,
  ): void {
    this.#slots.step(entry, 'resetting');
    this.#bound(entry, 'resetting', reset, done, failed);
  }

  /** Waits for a hook that is under way, for an entry that is in this step already. */
  prepare(
    entry: PoolEntry<T>,
    hook: Promise<void>,
    done: () => void,
    failed: (entry: PoolEntry<T>, error: unknown) => void,
  ): void {
    this.#bound(entry, 'preparing', hook, done, failed);
  }

  #bound<Result>(
    entry: PoolEntry<T>,
    step: StepState,
    work: Promise<Result>,
    done: (entry: PoolEntry<T>, result: Result) => void,
    failed: (entry: PoolEntry<T>, error: unknown) => void,
  ): void {
    // Otherwise the connection died while the connector was called, and is closed.
    if (entry.state === step) this.#limit(entry, step, failed);
    work.then(
      (result) => {
        if (this.#over(entry, step)) done(entry, result);
      },
      (error: unknown) => {
        if (this.#over(entry, step)) failed(entry, error);
      },
    );
  }

  #limit(entry: PoolEntry<T>, step: StepState, failed: (entry: PoolEntry<T>, error: unknown) => void): void {
    const limitMs = this.#limits[step];
    entry.stepDeadline.onExpire = () => failed(entry, new Error(`${STEP_NAMES[step]} took longer than ${limitMs} ms`));
    this.#deadlines.set(entry.stepDeadline, limitMs);
  }

  /** `false` when the step was over already: it timed out, or its connection was closed. */
  #over(entry: PoolEntry<T>, step: StepState): boolean {
    if (entry.state !== step) return false;
    this.#deadlines.clear(entry.stepDeadline);
    return true;
  }
}
