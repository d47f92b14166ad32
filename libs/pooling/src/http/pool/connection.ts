import type { ClientHttp2Session } from 'node:http2';
import type { Client, Dispatcher } from 'undici';
import { LinkedNode } from '../../core/linked-list.js';
import { LONGEST_DELAY_MS } from '../../core/validation.js';
import { watchSession } from './h2-session.js';
import type { HttpSocket } from './socket.js';
import { undici, UNDICI_MAJOR } from '../undici.js';

/** Exchanges that share one HTTP/2 connection: the protocol's customary limit, and undici's. */
export const H2_STREAMS = 100;
/** A server's `Keep-Alive` hint is followed up to here, in milliseconds: proxies in between often close at 30 s. */
export const HINT_CEILING_MS = 25_000;
/** A socket with a hint is closed this much earlier, in milliseconds, so that the server isn't faster. */
const HINT_MARGIN_MS = 1_000;

/** undici's own time limits, in milliseconds: longer than ours, because its timers are coarse (0.5 s). */
const BACKSTOP_MS = 60_000;

/**
 * `idle` ⇄ `leased` by one exchange or several. `leased` → `leaving`: either side asked to close it; it ends with its last
 * exchange. Any → `gone`: closed, or being closed. A gone one keeps its place within the limits until its exchanges have
 * heard of it.
 */
export type ConnectionState = 'idle' | 'leased' | 'leaving' | 'gone';

/** What a connection knows of the exchanges on it. */
export interface ConnectionUser {
  readonly request: { readonly method: string; readonly origin: string };
  /** When it was made, on the clock's scale. */
  readonly startedAt: number;
  /** The server left before it processed what was sent. */
  unprocessed(): void;
  /** Ends it with an error, wherever it stands. */
  fail(error: unknown): void;
}

/** The peer closed the socket before anything was written to it: the request can be sent again. */
export class SocketGoneError extends Error {
  readonly code = 'ECONNRESET';
  constructor() {
    super('the kept socket was closed before the request was sent');
  }
}

/** undici's symbols on a socket: that it will close it, and that it writes to it. */
let resetMark: symbol | undefined = undefined;
let writingMark: symbol | undefined = undefined;

/**
 * One socket and the `undici.Client` that speaks over it: exactly one connection, which dies with its socket.
 * In a list of the pool while idle, longest first.
 */
export class Connection<O extends { readonly key: string } = { readonly key: string }> extends LinkedNode {
  readonly #client: Client;
  /** Whether it speaks HTTP/2: it may carry several exchanges at once. */
  readonly multiplexes: boolean;
  /** How many exchanges it takes at once: with HTTP/2 one, until the server has said how many. */
  capacity = 1;
  /** Whether the server has yet to say how many. */
  settling: boolean;
  /** Called when its capacity has changed. */
  onCapacity: (() => void) | undefined = undefined;
  /** How many the server allows, up to our own bound. */
  #allowed = 1;
  #session: ClientHttp2Session | undefined = undefined;
  /** Exchanges on it now. */
  leases = 0;
  /** The exchange that came last; with HTTP/2 there may be more. */
  #exchange: ConnectionUser | undefined;
  /** All of them with the numbers of their streams, where there may be more than one. */
  readonly #shared: Map<ConnectionUser, number> | undefined;
  /** Those that the server has not processed before it left. */
  readonly #unprocessed = new WeakSet<ConnectionUser>();
  /** Exchanges that it has carried or carries. */
  served = 0;
  state: ConnectionState = 'leased';
  /** When it became idle, on the clock's scale. */
  idleSince = 0;
  /** How long it may idle, in milliseconds. */
  keepAliveMs: number;

  constructor(
    readonly origin: O,
    readonly socket: HttpSocket,
    /** When it was opened, on the clock's scale. */
    readonly openedAt: number,
    /** When it is of full age, on the clock's scale. */
    readonly expiresAt: number,
    keepAliveMs: number,
  ) {
    super();
    this.keepAliveMs = keepAliveMs;
    this.multiplexes = socket.alpnProtocol === 'h2';
    this.settling = this.multiplexes;
    this.#shared = this.multiplexes ? new Map() : undefined;
    let handedOver = false;
    const backstopMs = Math.min(Math.max(keepAliveMs, HINT_CEILING_MS) + BACKSTOP_MS, LONGEST_DELAY_MS);
    this.#client = new undici.Client(origin.key, {
      allowH2: this.multiplexes,
      // In undici 7 this also bounds the streams of HTTP/2.
      pipelining: this.multiplexes ? H2_STREAMS : 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: backstopMs,
      keepAliveMaxTimeout: backstopMs,
      keepAliveTimeoutThreshold: 0,
      connect: (_options, callback) => {
        // Later, because undici ignores an answer in the same tick. Once: a second call means that the socket died.
        queueMicrotask(() => {
          const gone = (): void => callback(new SocketGoneError(), null);
          // undici 8 asks again when the server leaves, and at once after each refusal while streams are under way.
          if (handedOver && this.multiplexes && !socket.closed) return void socket.once('close', gone);
          if (handedOver || socket.destroyed) return gone();
          handedOver = true;
          callback(null, socket);
        });
      },
    });
    if (this.multiplexes) this.#client.once('connect', () => this.#connected());
  }

  /** undici has made its session. */
  #connected(): void {
    this.#session = watchSession(this.socket, {
      allows: (streams) => this.#allow(Math.min(Math.max(streams, 1), H2_STREAMS)),
      leaves: (lastStreamId) => {
        this.leave();
        for (const [exchange, id] of this.#shared ?? []) if (id > lastStreamId) this.#unprocessed.add(exchange);
      },
      left: () => {
        if (UNDICI_MAJOR < 8) return;
        // undici 8 would keep them for a connection that this client doesn't open.
        for (const exchange of this.exchanges) if (this.#unprocessed.has(exchange)) exchange.unprocessed();
      },
    });
    if (this.#session === undefined) this.#allow(H2_STREAMS);
  }

  #allow(streams: number): void {
    this.#allowed = streams;
    this.capacity = streams;
    this.onCapacity?.();
  }

  /** An exchange on it becomes a stream of its own. */
  begun(exchange: ConnectionUser): void {
    this.#shared?.set(exchange, this.#session?.state.nextStreamID ?? 0);
  }

  /**
   * Whether the server has said that it processed nothing of an exchange, which may be sent again whatever it is (RFC
   * 9113, 8.7). Fewer are sent then, until answers come.
   */
  refuses(exchange: ConnectionUser, error: Error): boolean {
    if (!this.multiplexes) return false;
    if (this.#unprocessed.has(exchange)) return true;
    const { code, message } = error as { code?: string; message: string };
    // It never became a stream.
    if (code === 'ERR_HTTP2_GOAWAY_SESSION' || code === 'ERR_HTTP2_INVALID_SESSION') {
      this.leave();
      return true;
    }
    if (code !== 'ERR_HTTP2_STREAM_ERROR' || !message.includes('REFUSED_STREAM')) return false;
    this.capacity = Math.max(this.leases - 1, 1);
    // A connection that refuses its only stream isn't tried again.
    if (this.leases === 1) this.leave();
    return true;
  }

  /**
   * Whether undici closes the socket after the answer that has just ended; `undefined` when that can't be seen. The
   * headers don't tell: HTTP/1.0 closes without a word, and so does a request that was answered before it was written.
   */
  get closes(): boolean | undefined {
    const socket = this.socket as unknown as Record<symbol, unknown>;
    if (resetMark === undefined || writingMark === undefined) {
      for (const symbol of Object.getOwnPropertySymbols(socket)) {
        if (symbol.description === 'reset') resetMark = symbol;
        if (symbol.description === 'writing') writingMark = symbol;
      }
      if (resetMark === undefined || writingMark === undefined) return undefined;
    }
    return socket[resetMark] === true || socket[writingMark] === true;
  }

  /** Another exchange is on it. */
  lease(exchange: ConnectionUser): void {
    this.leases++;
    this.served++;
    this.#exchange = exchange;
    this.#shared?.set(exchange, 0);
  }

  /** One of the exchanges on it has ended. */
  unlease(exchange: ConnectionUser): void {
    this.leases--;
    this.#exchange = undefined;
    this.#shared?.delete(exchange);
  }

  /** The exchanges on it now. */
  get exchanges(): ConnectionUser[] {
    if (this.#shared !== undefined) return [...this.#shared.keys()];
    return this.#exchange === undefined ? [] : [this.#exchange];
  }

  /** Sends a request; `handler` hears how it went, perhaps before this returns. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    // undici 7 blocks others behind a request that isn't idempotent, as in HTTP/1.1. Streams don't need that.
    this.#client.dispatch(this.multiplexes ? { ...options, idempotent: true } : options, handler);
  }

  /** Learns from an answer's headers how long the socket may be kept. */
  learnKeepAlive(headers: Readonly<Record<string, string | string[] | undefined>>, ownKeepAliveMs: number): void {
    if (this.capacity < this.#allowed) this.capacity++;
    const connection = headers['connection'];
    if (connection !== undefined && connection !== 'keep-alive' && /\bclose\b/i.test(String(connection))) {
      this.leave();
      return;
    }
    const hint = headers['keep-alive'];
    if (hint === undefined) {
      this.keepAliveMs = ownKeepAliveMs;
      return;
    }
    const seconds = /timeout=(\d+)/i.exec(String(hint))?.[1];
    if (seconds === undefined) return;
    const hintMs = Number(seconds) * 1_000;
    this.keepAliveMs = Math.min(hintMs - Math.min(HINT_MARGIN_MS, hintMs / 2), HINT_CEILING_MS);
  }

  /** Takes no more exchanges. An idle one has no time left, and is closed when its time-out or the next exchange comes. */
  leave(): void {
    if (this.state === 'leased') this.state = 'leaving';
    else this.keepAliveMs = 0;
  }

  /** Whether it is neither leaving nor gone. */
  get open(): boolean {
    return this.state === 'leased' || this.state === 'idle';
  }

  /** Whether another exchange may use it: alive, not of full age, not idle for too long. */
  usable(now: number): boolean {
    if (!this.open || this.socket.destroyed || now >= this.expiresAt) return false;
    return this.leases > 0 || now - this.idleSince < this.keepAliveMs;
  }

  /** Closes the socket at once; exchanges on it fail with `error`. */
  destroy(error: Error | null): void {
    const end = (): void => this.#client.destroy(error, () => {});
    // undici 8 (8.12) destroys a session with an error, which the stream of an aborted exchange has no listener for: the
    // process would end. The end of the socket takes such streams along quietly. undici 7 (7.30) throws at that.
    const socketFirst = UNDICI_MAJOR >= 8 && this.multiplexes && error === null && !this.socket.closed;
    if (socketFirst) this.socket.once('close', end);
    else end();
    // A client that has never sent anything doesn't have the socket yet.
    this.socket.destroy();
  }
}
