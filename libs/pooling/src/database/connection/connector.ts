import { asNobody } from '../../core/async-context.js';
import type { Connector, DialFailure, OpenContext } from '../../core/connector.js';
import type { CloseReason } from '../../core/statistics.js';
import { explainConnectFailure } from './connect-failure.js';
import { PostgresConnection, type ConnectionHost } from './connection.js';
import { RENAME } from '../fleet/look.js';
import { failedAt, type DialStep } from '../options/dial-step.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import { requireChannelBinding } from './login-checks.js';
import { SessionSetUp } from './session-set-up.js';
import { forgetStatements, protocolOf } from '../pg-internals.js';
import type { DialAddress } from '../hosts/host-dialling.js';
import { explainHosts, HostsError } from '../hosts/host-failures.js';
import type { PoolHosts } from '../hosts/pool-hosts.js';
import type { RoleOfServer } from '../hosts/connection-role.js';

/** What a connector tells the layer above. */
export interface ConnectorHost extends ConnectionHost {
  /** What the pool knows of its server's role. */
  readonly role: RoleOfServer<PostgresConnection>;
  /** `undefined` where the pool has one host and takes any server. */
  readonly hosts: PoolHosts<PostgresConnection> | undefined;
  /** A connection is open and set up; listeners of `connect` may run something on it first. */
  opened(connection: PostgresConnection): void;
  /** A borrower left a transaction open. */
  leftTransaction(connection: PostgresConnection): void;
  /** A connection that was opened is closed and its socket gone; once for each. */
  removed(connection: PostgresConnection): void;
}

const LOST_MEANWHILE = 'the connection was lost while it was set up';

/** Opens, checks, resets and closes PostgreSQL connections for the engine. */
export class DatabaseConnector implements Connector<PostgresConnection> {
  /** Left out without `onAcquire`: then the engine leases in the same tick. */
  readonly prepare?: (connection: PostgresConnection) => void | Promise<void>;
  readonly #options: ResolvedDatabaseOptions;
  /** Whether the session goes to the next borrower as it is, but for what was left open. */
  readonly #keepsSession: boolean;
  readonly #host: ConnectorHost;
  readonly #setUp: SessionSetUp;
  /** Connections whose end was reported: `close` is called again when the first call takes too long. */
  readonly #removed = new WeakSet<PostgresConnection>();

  constructor(options: ResolvedDatabaseOptions, host: ConnectorHost) {
    this.#options = options;
    this.#keepsSession = options.reset === 'rollback' || options.reset === 'none';
    this.#host = host;
    this.#setUp = new SessionSetUp(options, host.statements !== undefined);
    const { onAcquire } = options;
    if (onAcquire !== undefined) {
      this.prepare = (connection) => {
        const prepared = onAcquire(connection.client);
        if (prepared === undefined) connection.added?.find();
        else return Promise.resolve(prepared).then(() => connection.added?.find());
      };
    }
  }

  async open(context: OpenContext): Promise<PostgresConnection> {
    const { signal } = context;
    const connection = await this.#begin(context);
    try {
      return await destroyedUnless(connection, signal, async () => {
        signal.throwIfAborted();
        await this.#host.role.opened(connection);
        await this.#during('onConnect', connection, () => this.#options.onConnect?.(connection.client));
        this.#host.opened(connection);
        connection.added?.find();
        // A listener of 'connect' may have sent something: it has to end before the first lease.
        await this.#quiet(connection);
        signal.throwIfAborted();
      });
    } catch (error) {
      // The engine never had it, and won't close it.
      this.#host.hosts?.removed(connection);
      throw error;
    }
  }

  /** A connection whose session is set up. */
  async #begin({ signal, lost }: OpenContext): Promise<PostgresConnection> {
    const { hosts } = this.#host;
    if (hosts === undefined) {
      const connection = await this.#connect(new PostgresConnection(this.#host, lost), signal);
      return destroyedUnless(connection, signal, () => this.#setUp.run(connection));
    }
    const dial: { chosen: PostgresConnection | undefined } = { chosen: undefined };
    // What sets a session up is part of the attempt: a pooler logs everybody in, though its server may be dead.
    const dialAddress: DialAddress<PostgresConnection> = async (hostTarget, address, stop, progress) => {
      const host = { ...this.#host, clientConfig: hosts.configOf(hostTarget, address), hostTarget };
      const connection = new PostgresConnection(host, (error) => {
        if (connection !== dial.chosen) return;
        hosts.lost();
        lost(error);
      });
      protocolOf(connection.client).stream.once('connect', progress.reached);
      await this.#connect(connection, stop);
      progress.loggedIn();
      return destroyedUnless(connection, stop, () => this.#setUp.run(connection));
    };
    const chosen = await hosts.dialling.open(dialAddress, signal);
    dial.chosen = chosen;
    // It may have died while others were asked: nobody has heard of that.
    if (!chosen.alive) {
      chosen.destroy();
      throw chosen.failure ?? new Error(LOST_MEANWHILE);
    }
    hosts.chosen(chosen, dialAddress);
    return chosen;
  }

  /** Dials and logs in; whatever fails leaves no socket behind. */
  async #connect(connection: PostgresConnection, signal: AbortSignal): Promise<PostgresConnection> {
    if (this.#options.bindsChannel) requireChannelBinding(connection.client);
    return destroyedUnless(connection, signal, () => connection.connect(signal));
  }

  /** Notes in an error at which step the set-up failed. The error of a dead connection already says why it died. */
  async #during(step: DialStep, connection: PostgresConnection, run: () => void | Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      throw connection.alive ? failedAt(step, error) : error;
    }
  }

  async #quiet(connection: PostgresConnection): Promise<void> {
    while (connection.underway.settle() !== undefined) {
      await new Promise<void>((resolve) => {
        connection.client.once('drain', resolve);
        connection.client.once('end', resolve);
      });
      if (!connection.alive) throw connection.failure ?? new Error(LOST_MEANWHILE);
    }
  }

  explain(error: unknown): DialFailure {
    const { target } = this.#options;
    if (!(error instanceof HostsError)) return explainConnectFailure(error, target);
    return explainHosts(
      error,
      ({ host, port }, each) => explainConnectFailure(each, { ...target, host, port }).permanent,
    );
  }

  usable(connection: PostgresConnection): boolean {
    return connection.usable;
  }

  parked(connection: PostgresConnection, idle: boolean): void {
    connection.holdProcess(!idle);
  }

  handOn(connection: PostgresConnection, heldMs: number): boolean {
    if (!this.#keepsSession || connection.carries?.lost === true || connection.role.toBeAsked) return false;
    return this.#host.handingOn.allows(heldMs) && connection.handOn();
  }

  shareable(connection: PostgresConnection): boolean {
    return connection.shareable;
  }

  async ping(connection: PostgresConnection): Promise<void> {
    // The empty query is answered without parsing, planning, or a line in the server's statistics.
    const { role } = this.#host;
    if (!role.doubts(connection)) {
      await connection.run('');
      // Its answer may have brought a change of its role.
      if (this.#host.hosts === undefined || !connection.role.toBeAsked) return;
    }
    if (!(await role.ask(connection))) throw new Error('the server has another role by now');
  }

  reset(connection: PostgresConnection, own: boolean): CloseReason | undefined | Promise<CloseReason | undefined> {
    if (connection.closeReason !== undefined) return connection.closeReason;
    connection.session.takeBackTypeParsers();
    const settled = connection.underway.settle();
    if (settled === undefined && !connection.inTransaction && !connection.role.toBeAsked)
      return own ? undefined : this.#resetSession(connection);
    if (settled === 'busy') return 'broken';
    return this.#resetAfter(connection, settled, own);
  }

  #resetSession(connection: PostgresConnection): undefined | Promise<CloseReason | undefined> {
    if (!this.#keepsSession) return asNobody(this.#resetFully, connection);
    return connection.carries?.lost === true ? asNobody(this.#nameAgain, connection) : undefined;
  }

  async #resetAfter(
    connection: PostgresConnection,
    settled: Promise<void> | undefined,
    own: boolean,
  ): Promise<CloseReason | undefined> {
    await settled;
    if (connection.inTransaction) {
      this.#host.leftTransaction(connection);
      if (this.#options.reset === 'none') return 'transaction';
      try {
        await connection.run('rollback');
      } catch {
        return 'transaction';
      }
    }
    if (connection.role.toBeAsked && !(await this.#host.role.ask(connection))) return 'invalid';
    return own ? undefined : this.#resetSession(connection);
  }

  /** Runs between two leases, in the context of neither borrower. */
  readonly #resetFully = async (connection: PostgresConnection): Promise<CloseReason | undefined> => {
    const { reset } = this.#options;
    if (typeof reset === 'function') {
      await reset(connection.client);
      // A hook that leaves something open isn't worth another round trip.
      if (!connection.usable) return 'reset';
      return connection.carries?.lost === true ? this.#nameAgain(connection) : undefined;
    }
    // In a message of its own: several statements in one message are one transaction, in which it can't run.
    await connection.run('discard all');
    forgetStatements(connection.client);
    connection.session.statements.clear();
    await this.#setUp.run(connection);
    if (connection.carries !== undefined) await this.#nameAgain(connection);
    // `DISCARD ALL` has undone what it had set.
    await this.#options.onConnect?.(connection.client);
    return connection.usable ? undefined : 'reset';
  };

  /** Others of the fleet read there what this process has. */
  readonly #nameAgain = async (connection: PostgresConnection): Promise<CloseReason | undefined> => {
    await connection.run(RENAME, [connection.carries?.name]);
    return connection.usable ? undefined : 'reset';
  };

  async close(connection: PostgresConnection, politely: boolean): Promise<void> {
    await connection.close(politely);
    if (this.#removed.has(connection)) return;
    this.#removed.add(connection);
    this.#host.hosts?.removed(connection);
    this.#host.removed(connection);
  }
}

/** Gives the connection when a step has succeeded; destroys it when the step fails, or nobody wants it any more. */
async function destroyedUnless(
  connection: PostgresConnection,
  signal: AbortSignal,
  succeed: () => Promise<void>,
): Promise<PostgresConnection> {
  const abort = (): void => connection.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await succeed();
    return connection;
  } catch (error) {
    connection.destroy();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
