import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '../core/clock.js';
import { ProxiedConnection, type Directions, type Direction } from './proxied-connection.js';

/** What a {@link TcpProxy} does with a connection that arrives. */
export type ProxyMode = 'forward' | 'refuse' | 'reset' | 'stall';

/** How a connection is cut: with an orderly end, or with a reset. */
export type CutKind = 'fin' | 'rst';

/**
 * Which server a {@link TcpProxy} stands in front of.
 *
 * ```ts
 * const proxy = await TcpProxy.listen({ host: '127.0.0.1', port: server.port });
 * ```
 */
export interface TcpProxyOptions {
  /** The port of the server. */
  readonly port: number;
  /** The host of the server; `127.0.0.1` by default. */
  readonly host?: string | undefined;
  /** The proxy's own port on 127.0.0.1; 0 or left out: a free one. */
  readonly listenPort?: number | undefined;
}

/** When {@link TcpProxy.cutWhen} cuts, and how. */
export interface CutTrigger {
  /** The bytes to wait for; they may come in pieces. */
  readonly bytes: string | Buffer;
  /** The way they travel; `'toServer'` by default. */
  readonly direction?: Direction | undefined;
  /** Whether the bytes still arrive before the cut; false by default: neither they nor what followed them does. */
  readonly deliver?: boolean | undefined;
  /** `'rst'` by default. */
  readonly kind?: CutKind | undefined;
}

/**
 * A TCP proxy in this process, in front of any server, that misbehaves on demand.
 *
 * ```ts
 * await using proxy = await TcpProxy.listen({ port: server.port });
 * const pool = new DatabasePool({ connection: { host: '127.0.0.1', port: proxy.port, user: 'postgres' } });
 * await proxy.refuse(); // ECONNREFUSED for whoever connects
 * proxy.cut('rst'); // and the connections that are there are reset
 * await proxy.forward(); // all is well again
 * ```
 *
 * A mode concerns the connections that arrive while it is on; `delay`, `throttle` and `blackhole` also those that are open.
 */
export class TcpProxy implements AsyncDisposable {
  readonly #target: { host: string; port: number };
  readonly #connections = new Set<ProxiedConnection>();
  readonly #dials: number[] = [];
  readonly #triggers = new Set<(connection: ProxiedConnection) => void>();
  #server: Server | undefined;
  #port: number;
  #mode: ProxyMode = 'forward';
  #delayMs: Directions<number> = { toServer: 0, toClient: 0 };
  #bytesPerSecond: Directions<number> = { toServer: Infinity, toClient: Infinity };
  #swallowed: Directions<boolean> = { toServer: false, toClient: false };
  #peakConnections = 0;
  #bytes: Directions<number> = { toServer: 0, toClient: 0 };
  #closed = false;

  private constructor(options: TcpProxyOptions) {
    this.#target = { host: options.host ?? '127.0.0.1', port: options.port };
    this.#port = options.listenPort ?? 0;
  }

  /** Starts a proxy on 127.0.0.1 that forwards to the server at `port`. */
  static async listen(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options);
    await proxy.#listen();
    return proxy;
  }

  /** The port to connect to; it stays the same through every mode. */
  get port(): number {
    return this.#port;
  }

  /** What happens to a connection that arrives now. */
  get mode(): ProxyMode {
    return this.#mode;
  }

  /** Connections open now, seen from the clients. */
  get connections(): number {
    let open = 0;
    for (const connection of this.#connections) if (connection.clientOpen) open++;
    return open;
  }

  /** Connections accepted since the start or the last `resetCounters()`. */
  get accepted(): number {
    return this.#dials.length;
  }

  /** The most connections that were open at once. */
  get peakConnections(): number {
    return this.#peakConnections;
  }

  /** When each connection was accepted, in milliseconds of `performance.now()`. Refused ones never reach the proxy. */
  get dials(): readonly number[] {
    return this.#dials;
  }

  /** Payload that has arrived at either end. */
  get bytes(): Readonly<Directions<number>> {
    return this.#bytes;
  }

  /** The most connections accepted within any span of `windowMs`. */
  peakDials(windowMs = 1_000): number {
    let peak = 0;
    let first = 0;
    this.#dials.forEach((dialledAt, index) => {
      while (dialledAt - (this.#dials[first] as number) >= windowMs) first++;
      peak = Math.max(peak, index - first + 1);
    });
    return peak;
  }

  /** Sets the counters to 0; open connections count as the first peak. */
  resetCounters(): void {
    this.#dials.length = 0;
    this.#peakConnections = this.connections;
    this.#bytes = { toServer: 0, toClient: 0 };
  }

  /**
   * Ends every fault: listens and forwards without delay or loss. Stalled connections go on; those that have lost bytes to
   * `blackhole()` stay dead.
   */
  async forward(): Promise<void> {
    this.#mode = 'forward';
    this.#delayMs = { toServer: 0, toClient: 0 };
    this.#bytesPerSecond = { toServer: Infinity, toClient: Infinity };
    this.#swallowed = { toServer: false, toClient: false };
    for (const connection of this.#connections) this.#shape(connection);
    for (const connection of this.#connections) connection.dial();
    await this.#listen();
  }

  /** Stops listening: new connections get ECONNREFUSED. Open ones go on. */
  async refuse(): Promise<void> {
    this.#mode = 'refuse';
    const server = this.#server;
    this.#server = undefined;
    // Its callback waits for open connections as well; the port is free at once.
    server?.close();
    if (server !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Accepts connections and resets them at once, so that `dials` counts what `refuse()` can't see. */
  async reset(): Promise<void> {
    this.#mode = 'reset';
    await this.#listen();
  }

  /** Accepts connections and never answers, as a server that hangs. */
  async stall(): Promise<void> {
    this.#mode = 'stall';
    await this.#listen();
  }

  /** Every byte arrives `delayMs` later; given one direction only, the other stays as it was. */
  delay(delayMs: number, direction: Direction | 'both' = 'both'): void {
    this.#delayMs = changed(this.#delayMs, direction, delayMs);
    for (const connection of this.#connections) this.#shape(connection);
  }

  /** Each connection carries at most so many bytes a second. */
  throttle(bytesPerSecond: number, direction: Direction | 'both' = 'both'): void {
    this.#bytesPerSecond = changed(this.#bytesPerSecond, direction, bytesPerSecond);
    for (const connection of this.#connections) this.#shape(connection);
  }

  /**
   * Swallows what is sent, ends and resets included, as a network does that has lost a machine or a NAT table. Follow it by
   * `forward()` for dead old connections and healthy new ones.
   */
  blackhole(direction: Direction | 'both' = 'both'): void {
    this.#swallowed = changed(this.#swallowed, direction, true);
    for (const connection of this.#connections) this.#shape(connection);
  }

  /**
   * Cuts connections on both sides.
   *
   * @param choose which ones, by the client's port; all of them by default
   * @returns how many were cut.
   */
  cut(kind: CutKind, choose: (clientPort: number) => boolean = () => true): number {
    const chosen = [...this.#connections].filter((connection) => connection.isWhole && choose(connection.clientPort));
    for (const connection of chosen) connection.cut(kind);
    return chosen.length;
  }

  /**
   * Cuts the first connection on which certain bytes pass, at that moment: `cutWhen({ bytes: 'commit' })`.
   *
   * @returns the client's port of the connection, when it has been cut.
   */
  cutWhen(trigger: CutTrigger): Promise<number> {
    const { direction = 'toServer', deliver = false, kind = 'rst' } = trigger;
    const pattern = Buffer.from(trigger.bytes as string);
    return new Promise((resolve) => {
      const watch = (connection: ProxiedConnection): void => {
        connection.watch(direction, pattern, deliver, () => {
          if (!this.#triggers.delete(watch)) return false;
          connection.cut(kind, deliver ? direction : undefined);
          resolve(connection.clientPort);
          return true;
        });
      };
      this.#triggers.add(watch);
      for (const connection of this.#connections) watch(connection);
    });
  }

  /** Stops listening and destroys every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    const server = this.#server;
    this.#server = undefined;
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([
      ...[...this.#connections].map((connection) => connection.closed),
      server && new Promise((resolve) => server.close(resolve)),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(): Promise<void> {
    if (this.#server !== undefined || this.#closed) return;
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  #accept(client: Socket): void {
    this.#dials.push(systemClock.now());
    client.on('error', () => undefined);
    if (this.#mode === 'reset') {
      client.resetAndDestroy();
      return;
    }
    const connection = new ProxiedConnection(client, {
      dial: () => connect({ ...this.#target, allowHalfOpen: true, noDelay: true }),
      count: (direction, length) => {
        this.#bytes[direction] += length;
      },
    });
    this.#connections.add(connection);
    this.#peakConnections = Math.max(this.#peakConnections, this.connections);
    void connection.closed.then(() => this.#connections.delete(connection));
    this.#shape(connection);
    for (const trigger of this.#triggers) trigger(connection);
    if (this.#mode !== 'stall') connection.dial();
  }

  #shape(connection: ProxiedConnection): void {
    connection.shape({
      delayMs: this.#delayMs,
      bytesPerSecond: this.#bytesPerSecond,
      swallowed: this.#swallowed,
    });
  }
}

function changed<Value>(current: Directions<Value>, direction: Direction | 'both', value: Value): Directions<Value> {
  return direction === 'both' ? { toServer: value, toClient: value } : { ...current, [direction]: value };
}
