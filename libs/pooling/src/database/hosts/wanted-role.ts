import type { AskedConnection, RoleOfServer } from './connection-role.js';
import type { TargetSessionAttrs } from '../options/host-options.js';
import { fitOf, type ServerFacts } from './server-facts.js';
import type { ToldRole } from './told-role.js';

/**
 * What the server is, however its session is set: that a session, a role or a database wants to read only, by `SET`, by
 * the URL, by `ALTER ROLE`, says nothing about it.
 */
const QUESTION = `select pg_is_in_recovery() as standby, exists (
  select from pg_settings where name = 'default_transaction_read_only' and setting = 'on'
  and source not in ('client', 'user', 'database', 'database user', 'session', 'interactive')
) as read_only`;

/** A connection whose server can be asked, or tells by itself. */
export interface JudgedConnection extends AskedConnection {
  readonly told: ToldRole;
}

/** What is told of a connection that was asked. */
export interface WantedRoleHost<Connection> {
  /** Whether hosts answered the last dial, and none of them was what is wanted. */
  noneFits(): boolean;
  /** How often there was reason to believe that hosts have changed their parts. */
  suspicions(): number;
  /** A server isn't any more what it was when the connection was opened. */
  changed(connection: Connection, facts: ServerFacts): void;
}

/**
 * The role of a server among several hosts: a connection whose server isn't what is wanted any more is given up. It is asked
 * when it has refused a write, and before it is used again where an older server wouldn't tell by itself.
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
