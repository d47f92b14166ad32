import type { ConnectionOptions } from 'node:tls';
import type { buildConnector } from 'undici';
import { Deadline } from '../../core/deadlines.js';
import type { LookupCache } from './lookup.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import type { Origin } from './origin.js';
import type { HttpSocket } from './socket.js';
import { undici } from '../undici.js';

/** Hears how a dial ends: one of the first three is called once, and `gone` is always called once. */
export interface DialListener {
  connected(socket: HttpSocket): void;
  failed(error: Error): void;
  /** It took longer than it may. */
  late(): void;
  /** Its socket is closed, or none was made. */
  gone(): void;
}

/** Opens sockets as a client's options say. */
export class Dialler {
  readonly #home: string | undefined;
  /** The name that TLS asks for and verifies, whatever the URL says. */
  readonly #servername: string | undefined;
  readonly #connect: buildConnector.connector;
  /** For other origins than that of `baseUrl`: without the client's certificate. */
  readonly #connectElsewhere: buildConnector.connector;

  constructor({ tls, http2, baseUrl }: ResolvedHttpClientOptions, { lookup }: LookupCache) {
    this.#home = baseUrl === undefined ? undefined : new URL(baseUrl).origin;
    this.#servername = tls.servername;
    const common = { allowH2: http2, timeout: 0, lookup };
    this.#connect = undici.buildConnector({ ...tls, ...common } as buildConnector.BuildOptions);
    this.#connectElsewhere = undici.buildConnector({
      ...withoutIdentity(tls),
      ...common,
    } as buildConnector.BuildOptions);
  }

  /** Opens a socket; undici's connector returns it, though its types don't say so: it is what makes a dial cancellable. */
  open(origin: Origin, callback: buildConnector.Callback): HttpSocket {
    const { protocol, hostname, port, named } = origin;
    const own = this.#home === undefined || this.#home === named;
    const servername = own ? (this.#servername ?? origin.servername) : origin.servername;
    const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    const connect = own ? this.#connect : this.#connectElsewhere;
    return connect({ protocol, hostname: bare, port, servername }, callback) as unknown as HttpSocket;
  }
}

/** TLS options without the client's identity and the name that it expects. */
function withoutIdentity(tls: ConnectionOptions): ConnectionOptions {
  const others = { ...tls };
  for (const name of ['cert', 'key', 'pfx', 'passphrase', 'pskCallback', 'secureContext', 'servername'] as const) {
    delete others[name];
  }
  return others;
}

/** One attempt to open a socket: DNS, TCP, TLS. */
export class Dial extends Deadline {
  readonly #listener: DialListener;
  #socket: HttpSocket | undefined;

  constructor(
    readonly origin: Origin,
    /** When it began, on the clock's scale. */
    readonly startedAt: number,
    listener: DialListener,
  ) {
    super();
    this.#listener = listener;
  }

  /** Starts; the listener isn't called before this returns. */
  start(dialler: Dialler): void {
    try {
      this.#socket = dialler.open(this.origin, (error, socket) => {
        if (error !== null) this.#listener.failed(error);
        else this.#listener.connected(socket as HttpSocket);
      });
      this.#socket.once('close', () => this.#listener.gone());
    } catch (error) {
      queueMicrotask(() => {
        this.#listener.failed(error as Error);
        this.#listener.gone();
      });
    }
  }

  /** Gives the attempt up and closes its socket. */
  cancel(): void {
    this.#socket?.destroy();
  }

  override expire(): void {
    this.#listener.late();
  }
}
