import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../core/clock.js';
import { delay } from './delay.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import type { DataPlace } from './postgres-data.js';
import { PostgresProcess } from './postgres-process.js';
import { isPersistent, type PostgresServerOptions } from './postgres-server-options.js';

/** Where every server listens. */
export const HOST = '127.0.0.1';
/** How long a server may take to stop before it is stopped by force, in milliseconds. */
export const STOP_TIMEOUT_MS = 10_000;

const LOG_FILE = 'server.log';
const START_TIMEOUT_MS = 60_000;
const LOG_LINES_IN_ERRORS = 10;
const FREE_PORT_ATTEMPTS = 5;

/** Settings of throw-away data: commits survive a crash of the server, but not of the machine. */
const THROW_AWAY_SETTINGS = { fsync: 'off', full_page_writes: 'off' };

/** What a server is started from. */
export interface Launch {
  readonly binaries: PostgresBinaries;
  readonly place: DataPlace;
  readonly options: PostgresServerOptions;
}

/** Starts a server on a port (0: a free one), and waits until it takes connections. */
export async function launchServer(launch: Launch, port: number): Promise<{ process: PostgresProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const chosen = port || (await freePort());
    try {
      return { process: await launchOn(launch, chosen), port: chosen };
    } catch (error) {
      // A free port may have been taken by somebody else before the server could.
      const taken = /Address already in use/.test(String(error));
      if (port !== 0 || !taken || attempt === FREE_PORT_ATTEMPTS) throw error;
    }
  }
}

/** What the server on this data has logged since it was last started. */
export async function readServerLog(directory: string): Promise<string> {
  return readFile(join(directory, LOG_FILE), 'utf8').catch(() => '');
}

async function launchOn({ binaries, place, options }: Launch, port: number): Promise<PostgresProcess> {
  const throwAway = !isPersistent(options);
  const settings: Record<string, string> = {
    listen_addresses: HOST,
    port: String(port),
    unix_socket_directories: '',
    ...(throwAway ? THROW_AWAY_SETTINGS : {}),
    ...(options.maxConnections === undefined ? {} : { max_connections: String(options.maxConnections) }),
    ...options.settings,
  };
  const { directory, user } = place;
  const server = await PostgresProcess.spawn({
    program: binaries.postgres,
    arguments: ['-D', directory, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    user,
    logFile: join(directory, LOG_FILE),
    removeAfterwards: throwAway ? directory : undefined,
  });
  const deadline = systemClock.now() + START_TIMEOUT_MS;
  while (!(await isReady(directory, server.pid))) {
    const late = systemClock.now() > deadline;
    if (late) server.signal('SIGQUIT');
    if (late || !server.running) {
      await server.ends(STOP_TIMEOUT_MS);
      throw await startFailure(directory, port, late ? `wasn't ready within ${START_TIMEOUT_MS} ms` : "didn't start");
    }
    await delay(10);
  }
  return server;
}

/** The server notes in its lock file when it accepts connections: asking by connecting would disturb what is counted. */
async function isReady(directory: string, pid: number): Promise<boolean> {
  const lock = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => '');
  const lines = lock.split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
}

async function startFailure(directory: string, port: number, what: string): Promise<Error> {
  const lines = (await readServerLog(directory)).trim().split('\n').slice(-LOG_LINES_IN_ERRORS);
  return new Error(`PostgreSQL on port ${port} with its data in ${directory} ${what}:\n${lines.join('\n')}`);
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
