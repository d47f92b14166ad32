import type { AcquireOrigin } from './acquire-origin.js';
import type { AcquireWaiter } from './acquire-waiter.js';
import { Deadline } from './deadlines.js';
import { LinkedNode } from './linked-list.js';
import type { CloseReason } from './statistics.js';

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
  connection: T | undefined = undefined;
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
  lost = false;
  /** How many borrowers share it; 0: it has one of its own, or none. */
  shares = 0;
  /** When one of those who share it last gave it back: whoever comes next has it from then on. */
  returnedAt = 0;
  /** Why it is closed when the last of those who share it gives it back. */
  doom: CloseReason | undefined = undefined;
  /** Who holds it. */
  origin: AcquireOrigin | undefined = undefined;
  /** Whom it is being prepared for. */
  preparedFor: AcquireWaiter<T> | undefined = undefined;
  /** Whether it is leased for a question of the pool's own. */
  own = false;
  leakReported = false;
  leakDeadline: Deadline | undefined = undefined;
  readonly stepDeadline = new StepDeadline();

  constructor(
    readonly id: number,
    /** Entries of an older generation are replaced when next idle. */
    readonly generation: number,
  ) {
    super();
  }
}
