import type { AsyncResource } from 'node:async_hooks';
import { LinkedNode } from '../../core/linked-list.js';
import { WaitQueue, type Waiter } from '../../core/wait-queue.js';
import type { Connection, ConnectionUser } from './connection.js';
import type { OriginCounters } from './statistics.js';

/**
 * What a pool knows of one `scheme://host:port`. It is in the queue's ring while requests to it wait that only the total limit
 * holds back.
 */
export class Origin extends LinkedNode {
  readonly protocol: string;
  readonly hostname: string;
  readonly port: string;
  /**
   * For TLS: the name in the URL, whatever the Host header says; empty for an address. Where an interceptor has resolved
   * the name (undici's `dns`), the URL has the address, and the name is given beside it.
   */
  readonly servername: string;
  /** The origin as it was asked for: by name, where its URL has only an address. */
  readonly named: string;
  /** Sockets alive or being opened, without those that are being closed. */
  sockets = 0;
  /** Connections in use or being opened. */
  inUse = 0;
  /** Dials under way. */
  dialling = 0;
  /** HTTP/2 connections whose server has yet to say how many exchanges they take. */
  settling = 0;
  /** The most recently used one is last. It is taken first, so that the others may time out. */
  readonly idle: OriginConnection[] = [];
  /** HTTP/2 connections in use, which may take more exchanges. */
  readonly shared = new Set<OriginConnection>();
  /** Exchanges without a place within the limits. */
  readonly waiting = new WaitQueue<Borrower>();
  /** Exchanges with a place, whose socket is being opened: as many as `dialling`, or fewer. */
  readonly connecting = new WaitQueue<Borrower>();
  /** Whether the pool has dropped this record; another one stands for the origin from then on. */
  forgotten = false;
  readonly counters: OriginCounters;
  /** What the last connection spoke. */
  version: 'h1' | 'h2' | undefined = undefined;

  constructor(
    /** `https://host:port`, as `URL.origin` gives it. */
    readonly key: string,
    /** The key of its record. */
    readonly id: string,
    /** Empty: that of the URL. */
    servername: string,
    counters: (named: string) => OriginCounters,
  ) {
    super();
    const url = new URL(key);
    this.protocol = url.protocol;
    this.hostname = url.hostname;
    this.port = url.port;
    const bare = url.hostname.startsWith('[') || /^[\d.]+$/.test(url.hostname);
    this.servername = servername || (bare ? '' : url.hostname);
    this.named = servername === '' ? key : `${url.protocol}//${servername}${url.port && `:${url.port}`}`;
    this.counters = counters(this.named);
  }

  /** Whether nothing of this origin is alive: the record may be forgotten. */
  get unused(): boolean {
    return this.sockets === 0 && this.waiting.length === 0 && this.connecting.length === 0;
  }
}

/** A connection to an origin. */
export type OriginConnection = Connection<Origin>;

/** All that the pool knows of an exchange, which is its own waiter. */
export interface Borrower extends Waiter, ConnectionUser {
  /** Replaced when its record has been forgotten meanwhile. */
  origin: Origin;
  readonly timeouts: { readonly connectMs: number };
  /** The caller's asynchronous context. */
  readonly context: AsyncResource;
  /** When it got its present connection, on the clock's scale. */
  readonly leasedAt: number;
  /** It stands in a queue now. */
  enqueued(phase: 'waiting' | 'connecting', now: number): void;
  /** It has a place; its socket is being opened. */
  promoted(now: number): void;
  /** It has a connection. */
  begin(connection: OriginConnection, now: number): void;
  /** It is refused. */
  refuse(error: Error): void;
  /** The socket that was opened for it could not be. */
  connectFailed(error: Error): void;
}
