import type { EventEmitter } from 'node:events';
import type { Dispatcher } from 'undici';
import type { Dispatching, DispatchScope } from './dispatching.js';
import type { SocketListener } from './pool/events.js';
import { LegacyHandler, type LegacyDispatchHandler } from './exchange/legacy-handler.js';
import { NEVER_STARTED } from './exchange/never-started.js';
import { undici } from './undici.js';

/** The client that a dispatcher belongs to. */
export interface DispatcherOwner {
  close(options: { deadlineMs?: number }): Promise<unknown>;
  /** Whether it takes no new requests, and whether nothing of it is left. */
  readonly isClosed: () => boolean;
  readonly isDestroyed: () => boolean;
}

/** The dispatcher below the interceptors: it sends. */
class Below extends undici.Dispatcher {
  constructor(
    private readonly dispatching: Dispatching,
    private readonly scope: DispatchScope,
  ) {
    super();
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const own = modern(handler);
    try {
      this.dispatching.dispatch(options, own, this.scope);
    } catch (error) {
      own.onResponseError?.(NEVER_STARTED, error as Error);
    }
    return true;
  }
}

/**
 * An undici `Dispatcher` with a client's limits, deadlines, interceptors and statistics, for anything that takes one.
 * It leaves redirects, retries and decoding to the caller. It repeats a request only when its idle socket had died.
 */
export class HttpDispatcher extends undici.Dispatcher {
  // Not `#private`: `compose()` makes a proxy, which has no such fields.
  private readonly below: Dispatcher;
  private readonly owner: DispatcherOwner;
  private destroying = false;

  constructor(
    dispatching: Dispatching,
    owner: DispatcherOwner,
    scope: DispatchScope,
    interceptors: readonly Dispatcher.DispatcherComposeInterceptor[],
  ) {
    super();
    const below = new Below(dispatching, scope);
    this.owner = owner;
    this.below = interceptors.length === 0 ? below : below.compose([...interceptors]);
  }

  /** Emits, as undici's own dispatchers do, when a socket was opened, closed, or couldn't be opened. */
  get sockets(): SocketListener {
    const tell = (event: string, origin: string, ...error: Error[]): void => {
      if (this.listenerCount(event) === 0) return;
      // Later: a listener that throws must not interrupt what runs here.
      queueMicrotask(() => (this as EventEmitter).emit(event, new URL(origin), [this], ...error));
    };
    return {
      opened: (origin) => tell('connect', origin),
      closed: (origin, error) => tell('disconnect', origin, error),
      failed: (origin, error) => tell('connectionError', origin, error),
    };
  }

  get closed(): boolean {
    return this.destroying || this.owner.isClosed();
  }

  get destroyed(): boolean {
    return this.destroying || this.owner.isDestroyed();
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.below.dispatch(options, modern(handler));
    return true;
  }

  override close(callback?: () => void): Promise<void> & void {
    return settled(this.owner.close({}), callback);
  }

  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> & void {
    this.destroying = true;
    return settled(this.owner.close({ deadlineMs: 0 }), typeof error === 'function' ? error : callback);
  }
}

/** A handler in the form that both versions of undici know. */
export function modern(handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
  if (handler.onRequestStart !== undefined) return handler;
  return new LegacyHandler(handler as unknown as LegacyDispatchHandler);
}

/** undici's overloads promise both at once. */
function settled(closing: Promise<unknown>, callback: (() => void) | undefined): Promise<void> & void {
  const done = closing.then(() => callback?.());
  return done as Promise<void> & void;
}
