import { judgesServer } from '../options/chosen-hosts.js';
import { failedAt } from '../options/dial-step.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import { factsOfNumber, factsOfRow, ROLE_NUMBER, ROLE_NUMBERS, ROLE_QUESTION } from '../hosts/role-question.js';
import { isMomentary } from '../server-errors.js';
import type { PostgresConnection } from './connection.js';

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

/** A setting that can't be changed now, in a class of momentary errors. */
const UNCHANGEABLE = '55P02';
/** Poolers say with these that they have no server: connections, internal errors. */
const OF_POOLERS = /^(?:08|XX)/;

/** Whether a server refuses a statement itself, and not only at this moment. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string' || code.length !== 5) return false;
  return code === UNCHANGEABLE || !(isMomentary(code) || code.startsWith('08'));
}

/** Whether a server refuses what it is to set: waiting doesn't help, nor does another host. */
function refusesSetting(error: unknown): boolean {
  return isRefusal(error) && !OF_POOLERS.test((error as { code: string }).code);
}

/** The statement that sets a session up and asks what it is, by the number of its rows: type parsers may be the user's own. */
interface AskingTexts {
  /** For a server that reports its role; it needs to say it only where a pooler stands between. */
  readonly told: string;
  /** For one that doesn't. */
  readonly silent: string;
}

/** The backend has the process id that the connection was told; a pooler makes up process ids. */
function isOwn(parameter: number): string {
  return `pg_backend_pid() = $${parameter}::int`;
}

/** Gives one row where there is no pooler, and two behind one. */
function askingForPooler(text: string, parameter: number): AskingTexts {
  const asking = `${text} from generate_series(1, case when ${isOwn(parameter)} then 1 else 2 end)`;
  return { told: asking, silent: asking };
}

/** Gives as many rows as the role's number, and {@link ROLE_NUMBERS} more behind a pooler. */
function askingForRole(text: string, parameter: number): AskingTexts {
  const pooled = `${ROLE_NUMBERS} + ${ROLE_NUMBER}`;
  const number = `case when ${isOwn(parameter)} then 0 else ${ROLE_NUMBERS} end + ${ROLE_NUMBER}`;
  return {
    told: `${text} from generate_series(1, case when ${isOwn(parameter)} then 1 else ${pooled} end)`,
    silent: `${text} from generate_series(1, ${number})`,
  };
}

/** What a server behind a pooler reports isn't believed. */
function behindPooler({ role, told }: PostgresConnection): void {
  role.pooled = true;
  told.behindPooler();
}

/**
 * Sets sessions up: the settings, whether a pooler stands between, and where hosts are chosen by their role, that too. All of
 * it is one statement. It is the first one that only a server can answer: a pooler logs its clients in by itself.
 */
export class SessionSetUp {
  /** `undefined`: there is nothing to set. */
  readonly #settingsText: string | undefined;
  readonly #values: string[];
  readonly #judges: boolean;
  readonly #needsRole: boolean;
  readonly #ownReadOnly: boolean;
  /** `undefined`: nobody wants to know, or the server can't be asked. */
  #asking: AskingTexts | undefined;

  /** @param prepares whether statements are prepared, for which a pooler makes a difference. */
  constructor(options: ResolvedDatabaseOptions, prepares: boolean) {
    const settings = sessionSettings(options);
    const calls = [...settings].map((_, at) => `set_config($${2 * at + 1}, $${2 * at + 2}, false)`);
    const text = `select ${calls.join(', ')}`;
    const parameter = 2 * calls.length + 1;
    this.#settingsText = calls.length === 0 ? undefined : text;
    this.#values = [...settings].flat();
    this.#judges = judgesServer(options);
    this.#needsRole = options.targetSessionAttrs !== 'any';
    this.#ownReadOnly = settings.has('default_transaction_read_only');
    this.#asking = this.#judges
      ? askingForRole(text, parameter)
      : prepares
        ? askingForPooler(text, parameter)
        : undefined;
  }

  /** @throws what the server says; noted as the failure of this step where a setting is to blame. */
  async run(connection: PostgresConnection): Promise<void> {
    if (this.#ownReadOnly) connection.told.readOnlyIsOwn();
    try {
      await this.#run(connection);
    } catch (error) {
      throw connection.alive && refusesSetting(error) ? failedAt('session', error) : error;
    }
  }

  async #run(connection: PostgresConnection): Promise<void> {
    const asking = this.#asking;
    if (asking === undefined) return this.#runWithoutAsking(connection);
    const text = connection.told.speaks ? asking.told : asking.silent;
    try {
      const { rowCount } = await connection.run(text, [...this.#values, connection.processId]);
      await this.#answered(connection, rowCount ?? 0);
    } catch (error) {
      if (!connection.alive || !isRefusal(error)) throw error;
      // Either a setting is wrong, or the server lacks these functions: the settings alone show which.
      await this.#runWithoutAsking(connection);
      this.#asking = undefined;
    }
  }

  async #answered(connection: PostgresConnection, rows: number): Promise<void> {
    const { session, told } = connection;
    if (!this.#judges || rows === 0) {
      session.pooled = rows !== 1;
      // There are servers that don't count.
      if (this.#judges) await this.#askForRole(connection);
      return;
    }
    session.pooled = rows > ROLE_NUMBERS;
    if (session.pooled) behindPooler(connection);
    if (!told.speaks) told.answered(factsOfNumber(session.pooled ? rows - ROLE_NUMBERS : rows));
  }

  /** A pooler must be assumed. */
  async #runWithoutAsking(connection: PostgresConnection): Promise<void> {
    connection.session.pooled = true;
    // Before the settings, which may make the session read-only.
    if (this.#judges) await this.#askForRole(connection);
    if (this.#settingsText !== undefined) await connection.run(this.#settingsText, this.#values);
  }

  /** A server that can't be asked is what it has reported. */
  async #askForRole(connection: PostgresConnection): Promise<void> {
    const { told } = connection;
    try {
      const { rows } = await connection.run(ROLE_QUESTION);
      behindPooler(connection);
      told.answered(factsOfRow(rows[0]));
    } catch (error) {
      const isKnown = told.facts !== undefined || !this.#needsRole;
      if (!connection.alive || !isRefusal(error) || !isKnown) throw error;
    }
  }
}
