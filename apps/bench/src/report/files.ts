import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Writes results into a folder, by the files' names; without a folder nothing is written. */
export async function writeResults(folder: string | undefined, files: Readonly<Record<string, string>>): Promise<void> {
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files))
    await writeFile(join(folder, name), text.endsWith('\n') ? text : `${text}\n`);
  process.stderr.write(`written to ${folder}: ${Object.keys(files).join(', ')}\n`);
}
