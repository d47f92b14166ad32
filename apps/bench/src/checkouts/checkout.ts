import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where the benchmark's own programs are built to, in any checkout. */
const BUILT = 'dist/apps/bench/apps/bench/src';
const NEST = 'node_modules/@nestjs/cli/bin/nest.js';

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Another checkout of this repository, with its benchmark built. */
export class Checkout implements AsyncDisposable {
  readonly #folder: string;
  /** Whether it was made for this run alone. */
  readonly #temporary: boolean;
  /** The commit it stands at. */
  readonly revision: string;

  private constructor(folder: string, temporary: boolean, revision: string) {
    this.#folder = folder;
    this.#temporary = temporary;
    this.revision = revision;
  }

  /** A checkout's folder with its packages installed, or a revision: that one is checked out and installed anew. */
  static async open(folderOrRevision: string): Promise<Checkout> {
    const temporary = !(await isFolder(folderOrRevision));
    const folder = temporary ? await checkOut(folderOrRevision) : resolve(folderOrRevision);
    const { stdout } = await run('git', ['-C', folder, 'describe', '--always', '--dirty']);
    const checkout = new Checkout(folder, temporary, stdout.trim());
    try {
      // This very checkout is built, and runs.
      if (folder !== process.cwd()) await run(process.execPath, [NEST, 'build', 'bench'], { cwd: folder });
      return checkout;
    } catch (error) {
      await checkout[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** One of the benchmark's programs, as this checkout has it. */
  program(path: string): URL {
    return pathToFileURL(join(this.#folder, BUILT, path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#temporary) return;
    await run('git', ['worktree', 'remove', '--force', this.#folder]);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function checkOut(revision: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-checkout-'));
  process.stderr.write(`checking out and installing ${revision} …\n`);
  await run('git', ['worktree', 'add', '--detach', folder, revision]).catch((error: { stderr?: string }) => {
    throw new RangeError(`--against ${revision} is no folder and no revision: ${error.stderr ?? ''}`);
  });
  await run('npm', ['ci'], { cwd: folder });
  return folder;
}
