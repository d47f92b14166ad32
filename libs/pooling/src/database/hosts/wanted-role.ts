import type { AskedConnection, RoleOfServer } from './connection-role.js';
import type { TargetSessionAttrs } from '../options/host-options.js';
import { fitOf, type ServerFacts } from './server-facts.js';
import type { ToldRole } from './told-role.js';

/**
 * Asks for the role of the server. Settings that make only this session, role or database read-only (`SET`, the URL,
 * `ALTER ROLE`) don't count: they say nothing about the server.
 */
const QUESTION = `select pg_is_in_recovery() as standby, exists (
  select from pg_settings where name = 'default_transaction_read_only' and setting = 'on'
  and source not in ('client', 'user', 'database', 'database user', 'session', 'interactive')
) as read_only`;

/** A connection whose server can be asked, or reports its role. */
export interface JudgedConnection extends AskedConnection {
  readonly told: ToldRole;
}

/** What needs to know of a connection that was asked. */
export interface WantedRoleHost<Connection> {
  /** Whether hosts answered the last dial, and none of them fits. */
  noneFits(): boolean;
  /** How often the hosts were suspected of having changed their roles. */
  suspicions(): number;
  /** A server has another role than when the connection was opened. */
  changed(connection: Connection, facts: ServerFacts): void;
}

/**
 * The role of a server among several hosts: a connection whose server doesn't fit any more is given up. It is asked when it
 * has refused a write, and, where an older server doesn't report its role, before it is used after a suspicion.
 */
export class WantedRole<Connection extends JudgedConnection> implements RoleOfServer<Connection> {
  readonly #wanted: TargetSessionAttrs;
  readonly #host: WantedRoleHost<Connection>;

  constructor(wanted: TargetSessionAttrs, host: WantedRoleHost<Connection>) {
    this.#wanted = wanted;
    this.#host = host;
  }

  /** Whether writes are wanted and no host takes them. */
  get readOnly(): boolean {
    const writes = this.#wanted === 'read-write' || this.#wanted === 'primary';
    return writes && this.#host.noneFits();
  }

  opened({ role }: Connection): void {
    role.askedIn = this.#host.suspicions();
  }

  doubts({ role, told }: Connection): boolean {
    return role.refusedWrite || (!told.speaks && role.askedIn < this.#host.suspicions());
  }

  async ask(connection: Connection): Promise<boolean> {
    const { rows } = await connection.run(QUESTION);
    const { role } = connection;
    const { standby, read_only: readOnly } = rows[0] as { standby: boolean; read_only: boolean };
    const facts = { standby, readOnly: standby || readOnly };
    role.refusedWrite = false;
    role.askedIn = this.#host.suspicions();
    if (fitOf(this.#wanted, facts) !== 'none') return true;
    this.#host.changed(connection, facts);
    return false;
  }
}
