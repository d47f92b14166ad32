import { Deadline } from './deadlines.js';
import { LinkedNode } from './linked-list.js';

/**
 * Where a connection stands. `connecting` → `idle` → (`checking` → `idle`) → (`preparing` →) `leased` →
 * (`resetting` →) `idle`; every state leads to `closing`, and `closing` to `gone`.
 */
export type EntryState = 'connecting' | 'idle' | 'checking' | 'preparing' | 'leased' | 'resetting' | 'closing' | 'gone';

/** The step under way on an entry must be over by a time. */
class StepDeadline extends Deadline {
  onExpire: (() => void) | undefined;

  expire(): void {
    this.onExpire?.();
  }
}

/** One slot of the pool: a connection from its dial to the end of its socket. */
export class PoolEntry<T> extends LinkedNode {
  state: EntryState = 'connecting';
  connection: T | undefined;
  /** Counts the leases; a lease of an older epoch is over. */
  epoch = 0;
  uses = 0;
  openedAt = 0;
  expiresAt = Infinity;
  /** When it last turned idle. */
  idleSince = 0;
  /** When there was last proof that the peer answers. */
  verifiedAt = 0;
  leasedAt = 0;
  /** Why it died by itself while it was borrowed. */
  lostError: Error | undefined;
  lost = false;
  /** Captured at acquire when leak detection is on; formatted only when somebody looks. */
  trace: { stack?: string } | undefined;
  /** On whose behalf it was acquired, where that is known. */
  label: string | undefined;
  leakReported = false;
  leakDeadline: Deadline | undefined;
  readonly stepDeadline = new StepDeadline();

  constructor(
    readonly id: number,
    /** Entries of an older generation are replaced when next idle. */
    readonly generation: number,
  ) {
    super();
  }
}
