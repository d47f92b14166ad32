import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What a program of the system printed. */
export type Ran = Awaited<ReturnType<typeof run>>;

/** Runs a program of the system; rejects with what it printed when it fails. */
export const run = promisify(execFile);

/** Whether a program of the system is there; where it isn't, says which tests are left out for it. */
export async function hasProgram(name: string, debianPackage: string): Promise<boolean> {
  try {
    await run('sh', ['-c', 'command -v "$0"', name]);
    return true;
  } catch {
    process.stderr.write(
      `\n${name} is missing: the tests that need it are skipped (apt-get install ${debianPackage})\n`,
    );
    return false;
  }
}
