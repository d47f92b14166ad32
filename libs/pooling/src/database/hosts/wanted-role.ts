import type { Clock } from '../../core/clock.js';
import type { AskedConnection, RoleOfServer } from './connection-role.js';
import type { TargetSessionAttrs } from '../options/host-options.js';
import { factsOfRow, ROLE_QUESTION } from './role-question.js';
import { fitOf, type ServerFacts } from './server-facts.js';
import type { ToldRole } from './told-role.js';

/** A connection whose server can be asked, or reports its role. */
export interface JudgedConnection extends AskedConnection {
  readonly told: ToldRole;
}

/** What needs to know of a connection that was asked. */
export interface WantedRoleHost<Connection> {
  readonly clock: Clock;
  /** How long an answer is believed where the server doesn't report changes, in milliseconds. */
  readonly recheckMs: number;
  /** Whether hosts answered the last dial, and none of them fits. */
  noneFits(): boolean;
  /** How often the hosts were suspected of having changed their roles. */
  suspicions(): number;
  /** A server has another role than when the connection was opened. */
  changed(connection: Connection, facts: ServerFacts): void;
}

/**
 * The role of a server among several hosts: a connection whose server doesn't fit any more is given up. It is asked when it
 * has refused a write, and, where the server doesn't report its role (an older one, or one behind a pooler), before it is used
 * after a suspicion, and when it is pinged after `recheckMs`.
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
    role.askedAt = this.#host.clock.now();
  }

  doubts({ role, told }: Connection): boolean {
    if (role.toBeAsked) return true;
    if (told.speaks || this.#wanted === 'any') return false;
    const { clock, recheckMs } = this.#host;
    return role.askedIn < this.#host.suspicions() || clock.now() - role.askedAt >= recheckMs;
  }

  async ask(connection: Connection): Promise<boolean> {
    const { rows } = await connection.run(ROLE_QUESTION);
    const { role, told } = connection;
    const facts = factsOfRow(rows[0]);
    role.toBeAsked = false;
    this.opened(connection);
    if (!told.speaks) told.answered(facts);
    if (fitOf(this.#wanted, facts) !== 'none') return true;
    this.#host.changed(connection, facts);
    return false;
  }
}
