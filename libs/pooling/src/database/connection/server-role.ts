import type { Clock } from '../../core/clock.js';
import type { AskedConnection, ConnectionRole, RoleOfServer } from '../hosts/connection-role.js';

/**
 * Whether the server takes writes. Settings that make only this session, role or database read-only (`SET`, the URL,
 * `ALTER ROLE`) don't count: they say nothing about the server.
 */
const QUESTION = `select pg_is_in_recovery() or exists (
  select from pg_settings where name = 'default_transaction_read_only' and setting = 'on'
  and source not in ('client', 'user', 'database', 'database user', 'session', 'interactive')
) as refuses`;

/** How long a server is believed to be read-only before a new connection has to show it again, in milliseconds. */
const RECHECK_MS = 10_000;

/** What the role of the server needs of its pool. */
export interface ServerRoleHost {
  readonly clock: Clock;
  /** Every connection is checked before it is leased again. */
  suspectAll(): void;
}

/**
 * The role of a pool's one server. A primary that was demoted may keep its connections, and answers writes with 25006 until
 * they are replaced. So the connection that got 25006 asks for the role and is closed, and the others ask before they are
 * leased again. New connections, for which the name is looked up again, show when there is a primary. Until then,
 * read-only connections are leased for what only reads, and replaced every ten seconds.
 */
export class ServerRole implements RoleOfServer {
  readonly #host: ServerRoleHost;
  /** How often the server was found to have another role. */
  #changes = 0;
  /** The count of changes at which it was found to be read-only; `undefined`: it takes writes. */
  #readOnlyFrom: number | undefined = undefined;
  /** When the connection that took writes again was opened: older ones say nothing about the present server. */
  #writableFrom = 0;

  constructor(host: ServerRoleHost) {
    this.#host = host;
  }

  /** Whether the server takes no writes, by what the newest connections say. */
  get readOnly(): boolean {
    return this.#readOnlyFrom !== undefined;
  }

  /** Notes when a connection was opened; it is asked at once while the server is believed to be read-only. */
  async opened(connection: AskedConnection): Promise<void> {
    const { role } = connection;
    role.openedAt = this.#host.clock.now();
    role.openedIn = this.#changes;
    role.askedIn = this.#changes;
    if (this.readOnly) await this.ask(connection);
  }

  doubts({ role }: AskedConnection): boolean {
    return role.askedIn < this.#changes || (role.readOnly && this.#isOld(role));
  }

  async ask(connection: AskedConnection): Promise<boolean> {
    const { rows } = await connection.run(QUESTION);
    const { role } = connection;
    role.toBeAsked = false;
    role.readOnly = (rows[0] as { refuses: boolean }).refuses;
    const fit = role.readOnly ? this.#refuses(role) : this.#takes(role);
    role.askedIn = this.#changes;
    return fit;
  }

  #takes(role: ConnectionRole): true {
    if (this.#readOnlyFrom === undefined) return true;
    this.#readOnlyFrom = undefined;
    this.#writableFrom = Math.max(this.#writableFrom, role.openedIn);
    this.#changed();
    return true;
  }

  #refuses(role: ConnectionRole): boolean {
    if (role.openedIn < this.#writableFrom) return false;
    if (this.#readOnlyFrom === undefined) {
      this.#changed();
      this.#readOnlyFrom = this.#changes;
      return false;
    }
    return role.openedIn >= this.#readOnlyFrom && !this.#isOld(role);
  }

  #isOld(role: ConnectionRole): boolean {
    return this.#host.clock.now() - role.openedAt >= RECHECK_MS;
  }

  #changed(): void {
    this.#changes++;
    this.#host.suspectAll();
  }
}
