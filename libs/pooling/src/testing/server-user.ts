import { execFile } from 'node:child_process';
import { lstat, mkdir, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The account that PostgreSQL runs as. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

const EXECUTE_BY_OWNER = 0o100;
const EXECUTE_BY_GROUP = 0o010;
const EXECUTE_BY_OTHERS = 0o001;
const WRITE_BY_GROUP_OR_OTHERS = 0o022;

/**
 * Whom PostgreSQL runs as: the current user, or, because it refuses root, the owner of the data folder if it exists,
 * else the existing user `postgres`, else `nobody`. No user is ever created.
 *
 * @returns undefined when the current user does.
 */
export async function findServerUser(dataDirectory: string | undefined): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = dataDirectory === undefined ? undefined : await stat(dataDirectory).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const name of ['postgres', 'nobody']) {
    const user = await lookUp(name);
    if (user !== undefined) return user;
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and there is neither a user "postgres" nor "nobody" to run it as',
  );
}

async function lookUp(name: string): Promise<ServerUser | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/** Whether `user` may walk to `path`: every folder on the way, and `path` itself if it is one, can be entered. */
export async function canReach(user: ServerUser | undefined, path: string): Promise<boolean> {
  if (user === undefined) return true;
  let current = await realpath(path);
  for (;;) {
    const facts = await stat(current);
    const bit =
      facts.uid === user.uid ? EXECUTE_BY_OWNER : facts.gid === user.gid ? EXECUTE_BY_GROUP : EXECUTE_BY_OTHERS;
    if (facts.isDirectory() && (facts.mode & bit) === 0) return false;
    const parent = dirname(current);
    if (parent === current) return true;
    current = parent;
  }
}

/** The folder for temporary files, the system's own first, that `user` can reach. */
export async function reachableTemporaryFolder(user: ServerUser | undefined): Promise<string> {
  for (const folder of [tmpdir(), '/tmp', '/var/tmp']) {
    if (await canReach(user, folder).catch(() => false)) return realpath(folder);
  }
  throw new Error(`PostgreSQL runs as user ${user?.uid}, who can enter none of the folders for temporary files`);
}

/**
 * The library's folder under the temporary folder, with the same name at every run. Others may make such a folder first, so that
 * one that isn't the current user's own, or that others may write to, is refused.
 */
export async function ownFolder(temporary: string): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const folder = join(temporary, `nestjs-pooling-${uid}`);
  await mkdir(folder, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const facts = await lstat(folder);
  if (!facts.isDirectory() || facts.uid !== uid || (facts.mode & WRITE_BY_GROUP_OR_OTHERS) !== 0) {
    throw new Error(`${folder} isn't a folder that only user ${uid} can write to: remove it and start again`);
  }
  return folder;
}
