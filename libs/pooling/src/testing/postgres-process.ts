import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { readFile, readlink, realpath, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { becomes } from './delay.js';
import type { ServerUser } from './server-user.js';

const run = promisify(execFile);

const WATCHDOG_NAME = 'nestjs-pooling-watchdog';
const STALE_SERVER_TIMEOUT_MS = 10_000;

/**
 * Runs PostgreSQL and outlives its parent: its standard input is a pipe that the operating system closes when the parent ends,
 * however it ends. Then it resumes the processes that the parent had paused, asks the server for a fast shutdown, kills it
 * after 3 s, and removes the folder of a throw-away server.
 */
const WATCHDOG = `
log=$1 remove=$2
shift 2
exec 3<&0
"$@" </dev/null >"$log" 2>&1 3<&- &
server=$!
echo "$server"
exec >/dev/null
(
  paused=
  while read -r line; do paused=$line; done
  trap '' TERM
  kill -INT "$server"
  kill -CONT "$server" $paused
  patience=60
  while [ "$patience" -gt 0 ] && kill -0 "$server"; do
    sleep 0.05
    patience=$((patience - 1))
  done
  kill -QUIT "$server"
  while kill -0 "$server"; do sleep 0.05; done
  if [ -n "$remove" ]; then rm -rf "$remove"; fi
) <&3 2>/dev/null &
guard=$!
exec 3<&-
wait "$server"
status=$?
kill "$guard" 2>/dev/null
exit "$status"
`;

/** What to run, as whom, and where. */
export interface ServerCommand {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly user: ServerUser | undefined;
  /** Where the server's standard output and error go; emptied at each start. */
  readonly logFile: string;
  /** A folder that is removed when the parent has died without stopping the server. */
  readonly removeAfterwards?: string | undefined;
}

/** A running server process under its watchdog. */
export class PostgresProcess {
  /** The postmaster's process id. */
  readonly pid: number;
  /** Settles when the server has ended, with its exit code. */
  readonly ended: Promise<number | null>;
  readonly #watchdog: ChildProcess;
  #running = true;

  private constructor(watchdog: ChildProcess, pid: number, ended: Promise<number | null>) {
    this.#watchdog = watchdog;
    this.pid = pid;
    this.ended = ended.then((code) => {
      this.#running = false;
      return code;
    });
  }

  /** @throws Error when not even the watchdog could be started. */
  static async spawn(command: ServerCommand): Promise<PostgresProcess> {
    const watchdog = spawn(
      '/bin/sh',
      [
        '-c',
        WATCHDOG,
        `${WATCHDOG_NAME}:${process.pid}`,
        command.logFile,
        command.removeAfterwards ?? '',
        command.program,
        ...command.arguments,
      ],
      {
        cwd: '/',
        // A session of its own: Ctrl+C in a terminal goes to the application, which still needs its server to stop well.
        detached: true,
        env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C' },
        stdio: ['pipe', 'pipe', 'ignore'],
        ...command.user,
      },
    );
    const ended = new Promise<number | null>((resolve) => watchdog.once('exit', (code) => resolve(code)));
    const pid = await new Promise<number>((resolve, reject) => {
      watchdog.once('error', reject);
      watchdog.stdout.once('data', (line: Buffer) => resolve(Number(line.toString())));
      watchdog.stdout.once('end', () => reject(new Error('the watchdog of PostgreSQL ended at once')));
    });
    watchdog.on('error', () => undefined);
    watchdog.stdin.on('error', () => undefined);
    const server = new PostgresProcess(watchdog, pid, ended);
    server.#holdParent(false);
    return server;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Sends `signal` to the postmaster, if it is still there. */
  signal(signal: NodeJS.Signals): void {
    if (this.#running) signalIfAlive(this.pid, signal);
  }

  /** Tells the watchdog which processes are stopped, so that it wakes them before it ends the server. */
  notePaused(pids: readonly number[]): void {
    this.#watchdog.stdin?.write(`${pids.join(' ')}\n`);
  }

  /** Waits for the end of the server; false when it took longer than `withinMs`. */
  async ends(withinMs: number): Promise<boolean> {
    this.#holdParent(true);
    const ended = await becomes(() => !this.#running, withinMs, 5);
    this.#holdParent(false);
    return ended;
  }

  /** Whether the server keeps the parent alive: only while its end is awaited. */
  #holdParent(hold: boolean): void {
    const method = hold ? 'ref' : 'unref';
    this.#watchdog[method]();
    for (const pipe of [this.#watchdog.stdin, this.#watchdog.stdout]) {
      (pipe as unknown as { ref(): void; unref(): void })[method]();
    }
  }
}

/** Sends a signal to a process that may have ended already. */
export function signalIfAlive(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** The process ids of the children of `parent`. */
export async function childrenOf(parent: number): Promise<number[]> {
  const direct = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => undefined);
  if (direct !== undefined) return direct.split(' ').filter(Boolean).map(Number);
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=']);
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, ppid]) => ppid === parent)
    .map(([pid]) => pid as number);
}

/**
 * Makes `dataDirectory` free for a new server. It waits for a server that a killed process left behind, or ends it, and removes a
 * lock file whose process is gone or isn't PostgreSQL on this folder.
 *
 * @throws Error when a process that is still alive runs a server there.
 */
export async function clearStaleServer(dataDirectory: string): Promise<void> {
  const lockFile = join(dataDirectory, 'postmaster.pid');
  const pid = await lockHolder(lockFile);
  if (pid === undefined) return;
  if (await isServerOn(pid, dataDirectory)) {
    const owner = await livingOwner(pid);
    if (owner !== undefined) {
      throw new Error(
        `process ${owner} already runs PostgreSQL (process ${pid}) on ${dataDirectory}: ` +
          'stop it first, or use another data folder',
      );
    }
    const gone = async (): Promise<boolean> => !(await isServerOn(pid, dataDirectory));
    signalIfAlive(pid, 'SIGCONT');
    signalIfAlive(pid, 'SIGINT');
    if (!(await becomes(gone, STALE_SERVER_TIMEOUT_MS))) {
      signalIfAlive(pid, 'SIGQUIT');
      if (!(await becomes(gone, STALE_SERVER_TIMEOUT_MS))) {
        throw new Error(`PostgreSQL (process ${pid}), left behind on ${dataDirectory}, doesn't end`);
      }
    }
  }
  if ((await lockHolder(lockFile)) === pid) await rm(lockFile, { force: true });
}

async function lockHolder(lockFile: string): Promise<number | undefined> {
  const content = await readFile(lockFile, 'utf8').catch(() => undefined);
  const pid = Number(content?.split('\n', 1)[0]);
  return pid > 1 ? pid : undefined;
}

/** Whether a process is the server on this folder: process ids are reused, so that its name and folder are checked. */
async function isServerOn(pid: number, dataDirectory: string): Promise<boolean> {
  const folder = await realpath(dataDirectory);
  try {
    const [program, cwd] = await Promise.all([readlink(`/proc/${pid}/exe`), readlink(`/proc/${pid}/cwd`)]);
    return basename(program).startsWith('postgres') && cwd === folder;
  } catch {
    const facts = await describeProcess(pid);
    return facts !== undefined && /postgres/.test(facts.command) && facts.command.includes(dataDirectory);
  }
}

/** The live process that started the server and watches it, if there is one. */
async function livingOwner(serverPid: number): Promise<number | undefined> {
  const server = await describeProcess(serverPid);
  const watchdog = server === undefined ? undefined : await describeProcess(server.parent);
  const owner = Number(watchdog?.command.match(new RegExp(`${WATCHDOG_NAME}:(\\d+)`))?.[1]);
  return watchdog !== undefined && watchdog.parent === owner ? owner : undefined;
}

async function describeProcess(pid: number): Promise<{ parent: number; command: string } | undefined> {
  try {
    const [status, command] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    return { parent: Number(status.match(/^PPid:\s*(\d+)/m)?.[1]), command: command.replaceAll('\0', ' ') };
  } catch {
    const answer = await run('ps', ['-o', 'ppid=,args=', '-p', String(pid)]).catch(() => undefined);
    const match = answer?.stdout.trim().match(/^(\d+)\s+([\s\S]*)$/);
    return match ? { parent: Number(match[1]), command: match[2] as string } : undefined;
  }
}
