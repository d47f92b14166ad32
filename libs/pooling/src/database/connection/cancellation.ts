import { Socket } from 'node:net';
import type { Client, ClientConfig } from 'pg';
import type { Clock, Timer } from '../../core/clock.js';
import { backendKeyOf, protocolOf } from '../pg-internals.js';
import { cancelBackend, type SocketAddress } from './server-request.js';

/** How long a cancel request may take before the connection is destroyed without it, in milliseconds. */
const CANCEL_TIMEOUT_MS = 1_000;

/** What a server says of a query that was cancelled. */
const QUERY_CANCELED = '57014';

/** What cancelling needs of its connection. */
export interface CancellationHost {
  readonly client: Client;
  readonly clientConfig: ClientConfig;
  readonly clock: Clock;
  /** A request failed: it may still arrive later, and cancel another query. */
  cancelFailed(): void;
}

/** Asks the server, over a connection of its own, to cancel what runs on this one. */
export class Cancellation {
  readonly #host: CancellationHost;
  /** Whether the user's own stream decides where it goes. */
  readonly #ownWay: boolean;
  #request: Promise<void> | undefined;
  /** Whether a request was sent while others waited behind the query that it was for. */
  #amidOthers = false;
  /** Checks whether the server has acted on that request. */
  #checkTimer: Timer | undefined;

  constructor(host: CancellationHost) {
    this.#host = host;
    const { stream } = protocolOf(host.client);
    this.#ownWay = !(stream instanceof Socket) || stream.connect !== Socket.prototype.connect;
  }

  /** The request that is on its way; it never rejects. */
  get underway(): Promise<void> | undefined {
    return this.#request;
  }

  /**
   * The address of the other side. `undefined` where the user's own stream finds the server by the configured name: the
   * address of such a socket may be the entrance of a tunnel.
   */
  get #address(): SocketAddress | undefined {
    if (this.#ownWay) return undefined;
    const { remoteAddress, remotePort } = protocolOf(this.#host.client).stream;
    return remoteAddress === undefined || remotePort === undefined
      ? undefined
      : { address: remoteAddress, port: remotePort };
  }

  /** Asks the server to cancel what runs now. Resolves when the request has arrived, or took too long. */
  async request(): Promise<void> {
    const { client, clientConfig, clock } = this.#host;
    const key = backendKeyOf(client);
    if (key === undefined) return;
    this.#request ??= cancelBackend(clientConfig, this.#address, key, CANCEL_TIMEOUT_MS, clock)
      .catch(() => this.#host.cancelFailed())
      .finally(() => (this.#request = undefined));
    await this.#request;
  }

  /** Asks the server to cancel a query that others wait behind; `check` is called when the cancel should have taken effect. */
  requestAmidOthers(check: () => void): void {
    this.#amidOthers = true;
    void this.request();
    this.stop();
    this.#checkTimer = this.#host.clock.setTimeout(check, CANCEL_TIMEOUT_MS);
  }

  /** Whether an error may be the effect of a request that was meant for another query: then the cancelled one did nothing. */
  mayHaveMissed(error: Error | undefined): boolean {
    return this.#amidOthers && (error as { code?: unknown } | undefined)?.code === QUERY_CANCELED;
  }

  /** Cancels the check. */
  stop(): void {
    if (this.#checkTimer !== undefined) this.#host.clock.clearTimeout(this.#checkTimer);
  }
}
