import { chmod, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const CONTENT = 'content';
const COUNT_FILE = 'complete';

/**
 * A folder under the temporary folder that is made once and used again, by several processes at the same time. One that isn't
 * complete is made again.
 *
 * @param path where it is kept, in a folder that only the current user can write to
 * @param make fills the folder that it is given, which doesn't exist yet
 * @returns the folder that `make` has filled.
 */
export async function keptFolder(path: string, make: (content: string) => Promise<void>): Promise<string> {
  if (!(await isComplete(path))) {
    const unfinished = await mkdtemp(`${path}.unfinished-`);
    try {
      await chmod(unfinished, 0o755);
      await make(join(unfinished, CONTENT));
      await writeFile(join(unfinished, COUNT_FILE), String(await countFiles(unfinished)));
      await putInPlace(unfinished, path);
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
  }
  return join(path, CONTENT);
}

/** Moves the folder to its place. One that another process put there first stays if it is complete, else it is moved aside. */
async function putInPlace(unfinished: string, path: string): Promise<void> {
  for (;;) {
    try {
      return await rename(unfinished, path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
    if (await isComplete(path)) return;
    const broken = await mkdtemp(`${path}.broken-`);
    await rename(path, join(broken, CONTENT)).catch(() => undefined);
    await rm(broken, { recursive: true, force: true });
  }
}

/** Cleaners of temporary folders remove old files one by one: a folder counts only while all its files are there. */
async function isComplete(path: string): Promise<boolean> {
  const expected = await readFile(join(path, COUNT_FILE), 'utf8').catch(() => undefined);
  return expected !== undefined && Number(expected) === (await countFiles(path).catch(() => -1));
}

async function countFiles(path: string): Promise<number> {
  return (await readdir(join(path, CONTENT), { recursive: true })).length;
}
