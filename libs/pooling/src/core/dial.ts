import { asNobody } from './async-context.js';
import type { Connector } from './connector.js';
import { Deadline, type Deadlines } from './deadlines.js';

/** When the event loop was blocked for at least this share of a dial's time, the server's answers went unread because of it. */
const LARGE_SHARE = 0.3;

/** How a dial can end; exactly one of them is called, once. */
export interface DialListener<T> {
  opened(connection: T): void;
  failed(error: unknown): void;
  /** The pool cancelled the dial; this says nothing about the server. */
  abandoned(): void;
}

/** One attempt to open a connection, within a time limit. A connection that arrives later is closed at once. */
export class Dial<T> extends Deadline {
  readonly #connector: Connector<T>;
  readonly #deadlines: Deadlines;
  readonly #timeoutMs: number;
  readonly #listener: DialListener<T>;
  readonly #abort = new AbortController();
  #over = false;
  #startedAt = 0;

  constructor(connector: Connector<T>, deadlines: Deadlines, timeoutMs: number, listener: DialListener<T>) {
    super();
    this.#connector = connector;
    this.#deadlines = deadlines;
    this.#timeoutMs = timeoutMs;
    this.#listener = listener;
  }

  /**
   * Starts. The connection calls `lost` when it dies later on. Its async context is nobody's,
   * not that of the acquire that it was dialled for.
   */
  start(lost: (error?: Error) => void): void {
    asNobody(this.#open, lost);
  }

  readonly #open = (lost: (error?: Error) => void): void => {
    this.#startedAt = this.#deadlines.now;
    this.#deadlines.set(this, this.#timeoutMs);
    this.#connector.open({ signal: this.#abort.signal, lost }).then(
      (connection) => {
        if (this.#end()) this.#listener.opened(connection);
        else void this.#connector.close(connection, false).catch(ignoreLateFailure);
      },
      (error: unknown) => {
        if (this.#end()) this.#listener.failed(error);
      },
    );
  };

  /** Cancels the dial. */
  abandon(reason: Error): void {
    if (!this.#end()) return;
    this.#abort.abort(reason);
    this.#listener.abandoned();
  }

  expire(): void {
    if (!this.#end()) return;
    const stalledMs = Math.round(this.#deadlines.stalledSince(this.#startedAt));
    // A short block doesn't matter: the dial had most of its time.
    const stalled = stalledMs > this.#timeoutMs * LARGE_SHARE;
    const why = stalled ? `: the event loop stood still for ${stalledMs} ms` : '';
    const error = Object.assign(new Error(`no connection could be opened within ${this.#timeoutMs} ms${why}`), {
      code: 'ETIMEDOUT',
      ...(stalled ? { stalledMs } : undefined),
    });
    this.#abort.abort(error);
    this.#listener.failed(error);
  }

  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#deadlines.clear(this);
    return true;
  }
}

function ignoreLateFailure(): void {
  // Nobody owns the connection any more.
}
