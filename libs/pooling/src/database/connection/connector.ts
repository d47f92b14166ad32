import { asNobody } from '../../core/async-context.js';
import type { Connector, DialFailure, OpenContext } from '../../core/connector.js';
import type { CloseReason } from '../../core/statistics.js';
import { explainConnectFailure } from './connect-failure.js';
import { PostgresConnection, type ConnectionHost } from './connection.js';
import { RENAME } from '../fleet/look.js';
import { failedAt, type DialStep } from '../options/dial-step.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import { requireChannelBinding } from './login-checks.js';
import { forgetStatements, protocolOf } from '../pg-internals.js';
import { isMomentary } from '../server-errors.js';
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

/** The settings that each new session is made with; a time-out of 0 leaves the server's own. */
export function sessionSettings(options: ResolvedDatabaseOptions): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  const timeouts = {
    statement_timeout: options.statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs,
  };
  for (const [setting, timeoutMs] of Object.entries(timeouts)) {
    if (timeoutMs > 0) settings.set(setting, String(timeoutMs));
  }
  // Names of settings are the same in any case; what the user names wins.
  for (const [setting, value] of Object.entries(options.session)) settings.set(setting.toLowerCase(), String(value));
  return settings;
}

/** Whether a server refuses a statement itself, and not only at this moment. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && code.length === 5 && !isMomentary(code);
}

/**
 * Gives one row where the backend has the process id that the connection was told, and two behind a pooler, which makes up
 * process ids. It is read by the number of rows, because type parsers may be the user's own.
 */
function backends(parameter: number): string {
  return ` from generate_series(1, case when pg_backend_pid() = $${parameter}::int then 1 else 2 end)`;
}

/** Opens, checks, resets and closes PostgreSQL connections for the engine. */
export class DatabaseConnector implements Connector<PostgresConnection> {
  /** Left out without `onAcquire`: then the engine leases in the same tick. */
  readonly prepare?: (connection: PostgresConnection) => void | Promise<void>;
  readonly #options: ResolvedDatabaseOptions;
  readonly #host: ConnectorHost;
  /** Sets the session up; `undefined`: there is nothing to set. */
  readonly #sessionText: string | undefined;
  /** The same, and asks which backend it is. `undefined`: nothing is prepared, or the server can't be asked. */
  #askingText: string | undefined;
  readonly #sessionValues: string[];
  /** Connections whose end was reported: `close` is called again when the first call takes too long. */
  readonly #removed = new WeakSet<PostgresConnection>();

  constructor(options: ResolvedDatabaseOptions, host: ConnectorHost) {
    this.#options = options;
    this.#host = host;
    const settings = sessionSettings(options);
    const calls = [...settings].map((_, at) => `set_config($${2 * at + 1}, $${2 * at + 2}, false)`);
    const text = `select ${calls.join(', ')}`;
    this.#sessionText = calls.length === 0 ? undefined : text;
    this.#askingText = host.statements === undefined ? undefined : `${text}${backends(2 * calls.length + 1)}`;
    this.#sessionValues = [...settings].flat();
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
    const connection = await this.#logIn(context);
    return destroyedUnless(connection, signal, async () => {
      signal.throwIfAborted();
      await this.#during('session', connection, () => this.#makeSession(connection));
      await this.#host.role.opened(connection);
      await this.#during('onConnect', connection, () => this.#options.onConnect?.(connection.client));
      this.#host.opened(connection);
      connection.added?.find();
      // A listener of 'connect' may have sent something: it has to end before the first lease.
      await this.#quiet(connection);
      signal.throwIfAborted();
    });
  }

  async #logIn({ signal, lost }: OpenContext): Promise<PostgresConnection> {
    const { hosts } = this.#host;
    if (hosts === undefined) return this.#connect(new PostgresConnection(this.#host, lost), signal);
    const dial: { chosen: PostgresConnection | undefined } = { chosen: undefined };
    const dialAddress: DialAddress<PostgresConnection> = async (hostTarget, address, stop, reached) => {
      const host = { ...this.#host, clientConfig: hosts.configOf(hostTarget, address), hostTarget };
      const connection = new PostgresConnection(host, (error) => {
        if (connection !== dial.chosen) return;
        hosts.lost();
        lost(error);
      });
      protocolOf(connection.client).stream.once('connect', reached);
      await this.#connect(connection, stop);
      if (this.#options.targetSessionAttrs !== 'any' && !connection.told.speaks)
        await this.#askOlderServer(connection, stop);
      return connection;
    };
    const chosen = await hosts.dialling.open(dialAddress, signal);
    dial.chosen = chosen;
    hosts.chosen(chosen, dialAddress);
    return chosen;
  }

  /** Dials and logs in; whatever fails leaves no socket behind. */
  async #connect(connection: PostgresConnection, signal: AbortSignal): Promise<PostgresConnection> {
    if (this.#options.bindsChannel) requireChannelBinding(connection.client);
    return destroyedUnless(connection, signal, () => connection.connect(signal));
  }

  /** PostgreSQL before 14 doesn't report its role. Asked before the session's settings, which may make it read-only. */
  async #askOlderServer(connection: PostgresConnection, signal: AbortSignal): Promise<void> {
    const abort = (): void => connection.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const { rows } = await connection.run(
        "select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only",
      );
      const { standby, read_only: readOnly } = rows[0] as { standby: boolean; read_only: boolean };
      connection.told.answered({ standby, readOnly: standby || readOnly });
    } catch (error) {
      connection.destroy();
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Notes in an error at which step the set-up failed. The error of a dead connection already says why it died. */
  async #during(step: DialStep, connection: PostgresConnection, run: () => void | Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      throw connection.alive ? failedAt(step, error) : error;
    }
  }

  async #makeSession(connection: PostgresConnection): Promise<void> {
    const text = this.#askingText;
    if (text === undefined) return this.#setUp(connection);
    try {
      const { rowCount } = await connection.run(text, [...this.#sessionValues, connection.processId]);
      connection.session.pooled = rowCount !== 1;
    } catch (error) {
      if (!connection.alive || !isRefusal(error)) throw error;
      // Either a setting is wrong, or the server lacks these functions: the settings alone show which.
      await this.#setUp(connection);
      this.#askingText = undefined;
    }
  }

  /** Sets the session up without asking for the backend: a pooler must be assumed. */
  async #setUp(connection: PostgresConnection): Promise<void> {
    connection.session.pooled = true;
    if (this.#sessionText !== undefined) await connection.run(this.#sessionText, this.#sessionValues);
  }

  async #quiet(connection: PostgresConnection): Promise<void> {
    while (connection.underway.settle() !== undefined) {
      await new Promise<void>((resolve) => {
        connection.client.once('drain', resolve);
        connection.client.once('end', resolve);
      });
      if (!connection.alive) throw connection.failure ?? new Error('the connection was lost while it was set up');
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
    const { reset } = this.#options;
    const plain = (reset === 'rollback' || reset === 'none') && connection.carries?.lost !== true;
    return plain && !connection.role.refusedWrite && this.#host.handingOn.allows(heldMs) && connection.handOn();
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
      if (this.#host.hosts === undefined || !connection.role.refusedWrite) return;
    }
    if (!(await role.ask(connection))) throw new Error('the server has another role by now');
  }

  reset(connection: PostgresConnection, own: boolean): CloseReason | undefined | Promise<CloseReason | undefined> {
    if (connection.closeReason !== undefined) return connection.closeReason;
    connection.session.takeBackTypeParsers();
    const settled = connection.underway.settle();
    if (settled === undefined && !connection.inTransaction && !connection.role.refusedWrite)
      return own ? undefined : this.#resetSession(connection);
    if (settled === 'busy') return 'broken';
    return this.#resetAfter(connection, settled, own);
  }

  #resetSession(connection: PostgresConnection): undefined | Promise<CloseReason | undefined> {
    const { reset } = this.#options;
    if (reset !== 'rollback' && reset !== 'none') return asNobody(this.#resetFully, connection);
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
    if (connection.role.refusedWrite && !(await this.#host.role.ask(connection))) return 'invalid';
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
    await this.#makeSession(connection);
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
