import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chown, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { keptFolder } from './kept-folder.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import { canReach, findServerUser, ownFolder, reachableTemporaryFolder, type ServerUser } from './server-user.js';

const run = promisify(execFile);

const PASSWORD_FILE = 'nestjs-pooling.password';

/** How a client proves to the server who it is. `'trust'`: not at all. */
export type PostgresAuthentication = 'trust' | 'scram-sha-256';

/** Where a server's files are, and who they belong to. */
export interface DataPlace {
  readonly directory: string;
  readonly user: ServerUser | undefined;
}

/**
 * Decides where the data goes. A wished folder that PostgreSQL's user can't reach (root's checkout of mode 0700) is replaced by
 * one under the temporary folder, always the same for the same wish. Without a wish it is a fresh folder.
 */
export async function placeData(wish: string | undefined): Promise<DataPlace> {
  if (wish === undefined) {
    const user = await findServerUser(undefined);
    const directory = await mkdtemp(join(await reachableTemporaryFolder(user), 'nestjs-pooling-postgres-'));
    if (user !== undefined) await chown(directory, user.uid, user.gid);
    return { directory, user };
  }
  const wished = resolve(wish);
  const user = await findServerUser(wished);
  await mkdir(dirname(wished), { recursive: true });
  if (await canReach(user, dirname(wished))) return { directory: wished, user };
  const name = createHash('sha256').update(wished).digest('hex').slice(0, 12);
  const directory = join(await ownFolder(await reachableTemporaryFolder(user)), `data-${name}`);
  return { directory, user: await findServerUser(directory) };
}

/**
 * Makes a database cluster in `place` unless there is one. It appears in one step, complete: a process killed in the
 * middle leaves nothing that a later start would take for a cluster.
 */
export async function initialiseData(
  binaries: PostgresBinaries,
  place: DataPlace,
  options: {
    readonly authentication: PostgresAuthentication;
    readonly password: string | undefined;
    readonly throwAway: boolean;
  },
): Promise<void> {
  await removeUnfinished(place.directory);
  if (await isCluster(place)) return;
  const unfinished = `${place.directory}.unfinished-${process.pid}`;
  const data = join(unfinished, 'data');
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  if (place.user !== undefined) await chown(unfinished, place.user.uid, place.user.gid);
  try {
    if (options.authentication !== 'trust') {
      await initdbWithPassword(binaries, data, place.user, options.password);
    } else if (options.throwAway) {
      // Copying one is far quicker than making one.
      await run('cp', ['-R', await template(binaries, place.user), data], { cwd: '/', ...place.user });
    } else {
      await initdb(binaries, data, place.user, ['--auth=trust']);
    }
    await rename(data, place.directory);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!(await isCluster(place))) throw explain(error, place.directory);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function initdb(
  binaries: PostgresBinaries,
  data: string,
  user: ServerUser | undefined,
  options: readonly string[],
): Promise<void> {
  const usual = ['--no-sync', '--no-instructions', '--username=postgres', '--encoding=UTF8', '--locale=C'];
  await run(binaries.initdb, [...usual, ...options, `--pgdata=${data}`], { cwd: '/', ...user });
}

/** The password is kept with the data, which nobody else can read. */
async function initdbWithPassword(
  binaries: PostgresBinaries,
  data: string,
  user: ServerUser | undefined,
  password = randomBytes(18).toString('base64url'),
): Promise<void> {
  const file = join(dirname(data), 'password');
  await writeFile(file, password, { mode: 0o600 });
  if (user !== undefined) await chown(file, user.uid, user.gid);
  await initdb(binaries, data, user, ['--auth=scram-sha-256', `--pwfile=${file}`]);
  await rename(file, join(data, PASSWORD_FILE));
}

/** An unused database cluster without a secret, to be copied. */
async function template(binaries: PostgresBinaries, user: ServerUser | undefined): Promise<string> {
  const parent = await ownFolder(await reachableTemporaryFolder(user));
  const identity = createHash('sha256').update(`${binaries.version} ${user?.uid}`).digest('hex').slice(0, 12);
  return keptFolder(join(parent, `template-${identity}`), async (content) => {
    await mkdir(content, { mode: 0o700 });
    if (user !== undefined) await chown(content, user.uid, user.gid);
    await initdb(binaries, content, user, ['--auth=trust']);
  });
}

/** The password that the cluster was made with, if it asks for one. */
export async function savedPassword(directory: string): Promise<string | undefined> {
  return readFile(join(directory, PASSWORD_FILE), 'utf8').catch(() => undefined);
}

async function isCluster({ directory }: DataPlace): Promise<boolean> {
  try {
    await stat(join(directory, 'PG_VERSION'));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    const owner = await stat(directory).catch(() => undefined);
    throw new Error(
      `PostgreSQL's data folder ${directory} belongs to user ${owner?.uid}, not to user ${process.getuid?.()}: ` +
        'start as that user or as root, or use another data folder',
      { cause: error },
    );
  }
}

async function removeUnfinished(directory: string): Promise<void> {
  const prefix = `${basename(directory)}.unfinished-`;
  for (const name of await readdir(dirname(directory))) {
    if (!name.startsWith(prefix)) continue;
    const maker = Number(name.slice(prefix.length));
    if (!isAlive(maker)) await rm(join(dirname(directory), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function explain(error: unknown, directory: string): Error {
  const { stderr, message } = error as { stderr?: string; message: string };
  return new Error(`PostgreSQL's initdb failed for ${directory}: ${(stderr || message).trim()}`, { cause: error });
}
