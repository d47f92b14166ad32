import type { AcquireOrigin } from './acquire-origin.js';
import { Deadline } from './deadlines.js';
import { LinkedNode } from './linked-list.js';
import type { LeaseUse } from './pool-options.js';
import type { CloseReason } from './statistics.js';

/** What the pool waits for the connector to do with an open connection. */
export type StepState = 'checking' | 'preparing' | 'resetting';

/**
 * Where a connection stands. `connecting` → `opened` → `idle` → (`checking` →) (`preparing` →) `leased` →
 * (`resetting` →) `idle`, or straight to the next borrower; every state of an open connection leads to `closing`, and
 * `connecting` and `closing` to `gone`. `Slots` alone changes it.
 */
export type EntryState = 'connecting' | 'opened' | 'idle' | StepState | 'leased' | 'closing' | 'gone';

/** The time by which the present step of an entry, or its close, must be over. */
class StepDeadline extends Deadline {
  onExpire: (() => void) | undefined = undefined;

  expire(): void {
    this.onExpire?.();
  }
}

/** Somebody whose acquire is still under way. */
export interface PendingBorrower {
  readonly settled: boolean;
  /** Refuses the acquire. */
  refuse(error: unknown): void;
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
  /** The peer is gone. A borrowed connection keeps its slot until its borrower gives it back. */
  lost = false;
  /** What it is leased for, or was last. */
  use: LeaseUse = 'held';
  /** How many borrowers share it; 0: it has one of its own, or none. */
  shares = 0;
  /** When a borrower who shares it last gave it back: the next use is counted from then on. */
  returnedAt = 0;
  /** Why it is closed when its last borrower gives it back. */
  closeReason: CloseReason | undefined = undefined;
  /** Who holds it. */
  origin: AcquireOrigin | undefined = undefined;
  /** Whom it is being prepared for. */
  preparedFor: PendingBorrower | undefined = undefined;
  leakReported = false;
  leakDeadline: Deadline | undefined = undefined;
  readonly stepDeadline = new StepDeadline();

  constructor(
    readonly id: number,
    /** Entries of an older generation are replaced when next idle. */
    public generation: number,
  ) {
    super();
  }
}
