import { AsyncResource } from 'node:async_hooks';
import type { Dispatcher } from 'undici';
import { Deadline } from '../../core/deadlines.js';
import { Waiter } from '../../core/wait-queue.js';
import type { ExchangeHost, ExchangePhase, ExchangePolicy } from './exchange-host.js';
import type { ResolvedHttpTimeouts } from '../options.js';
import type { Origin } from '../pool/origin.js';
import { tellUnsent } from './request-channels.js';
import type { WireRequest } from '../message/request.js';
import type { HttpOutcome } from '../pool/statistics.js';
import { nextDue, overdueOf, timeoutError, type Overdue, type Timed } from './timeouts.js';

class ExchangeDeadline extends Deadline {
  constructor(readonly exchange: TimedExchange) {
    super();
  }

  override expire(): void {
    this.exchange.deadlineReached();
  }
}

/** The phase of an exchange and its times. One deadline on the wheel stands for all of its time-outs. */
export abstract class TimedExchange extends Waiter implements Timed {
  phase: ExchangePhase = 'new';
  protected controller: Dispatcher.DispatchController | undefined = undefined;
  /** When the request was sent or something was read last, on the clock's scale: `readMs` counts from then. */
  lastReadAt = 0;
  /** Since when the consumer has taken nothing more, on the clock's scale; `Infinity` while it does. */
  unreadSince = Infinity;
  readonly startedAt: number;
  readonly #deadline = new ExchangeDeadline(this);
  readonly totalAt: number;
  #dueAt = Infinity;
  attemptAt = 0;
  sentAt = 0;
  /** The caller's asynchronous context: an exchange that waited is sent from that of another request. */
  readonly context = new AsyncResource('HttpRequest');

  constructor(
    protected readonly host: ExchangeHost,
    public origin: Origin,
    public request: WireRequest,
    protected readonly policy: ExchangePolicy,
  ) {
    super();
    this.startedAt = host.clock.now();
    const { totalMs } = policy.timeouts;
    this.totalAt = totalMs === 0 ? Infinity : this.startedAt + totalMs;
  }

  /** Ends the exchange with an error, wherever it stands. Its connection, if it has one, is closed. */
  abstract fail(error: unknown, outcome?: HttpOutcome): void;
  /** Whether the request itself is still being written, which no time-out but the total limits. */
  protected abstract get uploading(): boolean;

  get timeouts(): ResolvedHttpTimeouts {
    return this.policy.timeouts;
  }

  /** The deadline has come; the times tell which time-out it is. */
  deadlineReached(): void {
    const now = this.host.clock.now();
    if (this.phase === 'sent' && this.uploading) this.lastReadAt = this.sentAt = now;
    // A handler behind the dispatcher pauses without saying so.
    if (this.unreadSince === Infinity && this.controller?.paused === true) this.lastReadAt = now;
    const overdue = overdueOf(this, now);
    if (overdue === undefined) return this.arm(now);
    // The wheel runs in the context of the request that set its first deadline.
    this.context.runInAsyncScope(this.#overdue, this, overdue, now);
  }

  #overdue(overdue: Overdue, now: number): void {
    if (overdue === 'unread') {
      this.unread(now - this.unreadSince);
      this.arm(now);
      return;
    }
    this.origin.counters.timeouts[overdue]++;
    const error = timeoutError(this.host, this, overdue, now);
    this.host.events.timedOut(this.origin, overdue, error);
    if (this.phase === 'connecting') tellUnsent(this.request, error, this.context);
    this.fail(error, 'timeout');
  }

  /** The consumer has taken nothing for this long, in milliseconds; called once each time it stops. */
  protected unread(_forMs: number): void {}

  /** How long the consumer may take nothing before that is reported, in milliseconds; 0: it isn't. */
  get unreadAfterMs(): number {
    return 0;
  }

  /** Sets the deadline for the next time-out. One that is too early is left: being called in vain costs less than moving it. */
  protected arm(now: number): void {
    const due = nextDue(this);
    if (due === Infinity) return;
    const { deadlines } = this.host;
    if (this.#deadline.pending) {
      if (this.#dueAt <= due) return;
      deadlines.clear(this.#deadline);
    }
    this.#dueAt = due;
    deadlines.set(this.#deadline, due - now);
  }

  /** Nothing is due any more. */
  protected disarm(): void {
    this.host.deadlines.clear(this.#deadline);
  }

  /** The consumer stopped or went on; the deadlines follow. */
  protected rearm(now: number): void {
    if (this.phase !== 'done') this.arm(now);
  }
}
