import type { Dispatcher } from 'undici';
import type { Dispatching, DispatchScope } from './dispatching.js';
import { LegacyHandler, type LegacyDispatchHandler } from './legacy-handler.js';
import { NEVER_STARTED } from './never-started.js';
import { undici } from './undici.js';

/** Closes the client that a dispatcher belongs to. */
export type CloseClient = (deadlineMs?: number) => Promise<unknown>;

/**
 * An undici `Dispatcher` with a client's limits, deadlines and statistics, for anything that takes one. Redirects,
 * retries and decoding are left to whoever dispatches; only a request whose kept socket had died is sent again.
 */
export class HttpDispatcher extends undici.Dispatcher {
  readonly #dispatching: Dispatching;
  readonly #close: CloseClient;
  readonly #scope: DispatchScope;

  constructor(dispatching: Dispatching, close: CloseClient, scope: DispatchScope) {
    super();
    this.#dispatching = dispatching;
    this.#close = close;
    this.#scope = scope;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const own =
      handler.onRequestStart === undefined ? new LegacyHandler(handler as unknown as LegacyDispatchHandler) : handler;
    try {
      this.#dispatching.dispatch(options, own, this.#scope);
    } catch (error) {
      own.onResponseError?.(NEVER_STARTED, error as Error);
    }
    return true;
  }

  override close(callback?: () => void): Promise<void> & void {
    return settled(this.#close(), callback);
  }

  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> & void {
    return settled(this.#close(0), typeof error === 'function' ? error : callback);
  }
}

/** undici's overloads promise both at once. */
function settled(closing: Promise<unknown>, callback: (() => void) | undefined): Promise<void> & void {
  const done = closing.then(() => callback?.());
  return done as Promise<void> & void;
}
