import { HttpOriginRefusedError } from '../core/errors.js';
import type { Target } from './message/target.js';

/**
 * Which origins a client's requests may reach, and which of the client's headers go there. A client with a `baseUrl` has a home:
 * another origin is refused or, where it is allowed, gets none of the client's headers, credentials and certificates.
 */
export class OriginPolicy {
  readonly #client: string;
  readonly #home: string | undefined;
  readonly #hostname: string | undefined;
  readonly #othersAllowed: boolean;
  /** Names of the headers that the client's options set, in lower case. */
  readonly headerNames: ReadonlySet<string>;

  constructor(client: string, home: Target | undefined, othersAllowed: boolean, headerNames: ReadonlySet<string>) {
    this.#client = client;
    this.#home = home?.origin;
    this.#hostname = home === undefined ? undefined : new URL(home.origin).hostname;
    this.#othersAllowed = othersAllowed;
    this.headerNames = headerNames;
  }

  /** The origin of `baseUrl`. */
  get home(): string | undefined {
    return this.#home;
  }

  /**
   * Whether an origin gets the client's own headers.
   *
   * @throws HttpOriginRefusedError `ERR_HTTP_ORIGIN_REFUSED` when it gets no request at all
   */
  admits(origin: string): boolean {
    if (origin === this.#home || this.#home === undefined) return true;
    if (this.#othersAllowed) return false;
    throw new HttpOriginRefusedError(
      this.#client,
      `${this.#client}: ${origin} is refused: requests go to ${this.#home}, the origin of baseUrl, unless allowOtherOrigins is true`,
      { details: { origin, baseOrigin: this.#home } },
    );
  }

  /**
   * The same for what was dispatched; an interceptor that resolves names (undici's `dns`) puts an address in the place of
   * the name and says so with `servername`.
   */
  admitsDispatched(origin: string, servername: string | null | undefined): boolean {
    return (servername !== undefined && servername === this.#hostname) || this.admits(origin);
  }

  /** The refusal of a URL that leads out of the base URL's path. */
  outsidePath(): HttpOriginRefusedError {
    return new HttpOriginRefusedError(
      this.#client,
      `${this.#client}: the URL is refused: its ".." lead out of the path of baseUrl`,
      { details: { baseOrigin: this.#home } },
    );
  }
}
