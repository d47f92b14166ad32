import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { Client } from 'pg';
import { findServerUser, reachableTemporaryFolder, type ServerUser } from '#pooling/testing/server-user.js';

/** Where it is built by hand, and where Debian puts it: neither is on everybody's path. */
const FOLDERS = ['/opt/pgbouncer/bin', ...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];

/** PgBouncer's program; `undefined` where it isn't installed. */
export function findPgBouncer(): string | undefined {
  return FOLDERS.map((folder) => join(folder, 'pgbouncer')).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The version of a PgBouncer, as `1.18.0`. */
export function versionOf(program: string): string {
  return execFileSync(program, ['--version'], { encoding: 'utf8' }).match(/\d+\.\d+(\.\d+)?/)?.[0] ?? 'unknown';
}

/** Whether a PgBouncer of this version prepares statements by itself, for clients that do. */
export function preparesByItself(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 1 || (major === 1 && minor >= 21);
}

/** A PgBouncer in transaction mode before one database, run by whom it doesn't refuse (it refuses root). */
export class PgBouncer implements AsyncDisposable {
  /** The database's address through it. */
  readonly url: string;
  readonly #program: string;
  readonly #directory: string;
  readonly #configuration: string;
  readonly #user: ServerUser | undefined;
  #process: ChildProcess | undefined;

  private constructor(
    place: {
      readonly program: string;
      readonly directory: string;
      readonly configuration: string;
      readonly url: string;
    },
    user: ServerUser | undefined,
  ) {
    this.#program = place.program;
    this.#directory = place.directory;
    this.#configuration = place.configuration;
    this.url = place.url;
    this.#user = user;
  }

  /** @param poolSize how many connections to the server it shares out */
  static async start(program: string, databaseUrl: string, poolSize: number): Promise<PgBouncer> {
    const target = new URL(databaseUrl);
    const user = await findServerUser(undefined);
    const directory = await mkdtemp(join(await reachableTemporaryFolder(user), 'pgbouncer-'));
    const port = await freePort();
    const users = join(directory, 'users.txt');
    const configuration = join(directory, 'pgbouncer.ini');
    await writeFile(users, `"${target.username}" ""\n`);
    await writeFile(
      configuration,
      `[databases]
* = host=${target.hostname} port=${target.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
admin_users = ${target.username}
logfile = ${join(directory, 'log')}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 100
server_login_retry = 1
${preparesByItself(versionOf(program)) ? 'max_prepared_statements = 200' : ''}
`,
    );
    if (user !== undefined) {
      for (const path of [directory, users, configuration]) await chown(path, user.uid, user.gid);
    }
    const url = new URL(databaseUrl);
    url.port = String(port);
    const bouncer = new PgBouncer({ program, directory, configuration, url: url.href }, user);
    await bouncer.start();
    return bouncer;
  }

  /** Starts it again after `stop()`, at the same address; resolves when it accepts connections. */
  async start(): Promise<void> {
    const bouncer = spawn(this.#program, [this.#configuration], { stdio: 'ignore', ...this.#user });
    this.#process = bouncer;
    // A test that was broken off must not leave it behind.
    const kill = (): boolean => bouncer.kill();
    process.once('exit', kill);
    bouncer.once('exit', () => process.off('exit', kill));
    const ended = once(bouncer, 'exit').then(async () => {
      throw new Error(`PgBouncer doesn't start:\n${await this.log()}`);
    });
    ended.catch(() => undefined);
    await Promise.race([ended, accepting(Number(new URL(this.url).port))]);
  }

  /** Ends it, and every connection through it, at once. */
  async stop(): Promise<void> {
    const bouncer = this.#process;
    if (bouncer === undefined || bouncer.exitCode !== null || bouncer.signalCode !== null) return;
    const ended = once(bouncer, 'exit');
    // From 1.23 on SIGTERM waits for the clients to go.
    bouncer.kill('SIGQUIT');
    await ended;
  }

  /** Runs a command on its console: `SHOW CLIENTS`, `PAUSE`, …; gives the rows. */
  async command(text: string): Promise<Record<string, string>[]> {
    const address = new URL(this.url);
    address.pathname = '/pgbouncer';
    const client = new Client({ connectionString: address.href });
    await client.connect();
    try {
      return (await client.query<Record<string, string>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** What it has logged. */
  async log(): Promise<string> {
    return readFile(join(this.#directory, 'log'), 'utf8').catch(() => '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function accepting(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    } finally {
      socket.destroy();
    }
  }
}
