// Other versions of Node, from the npm packages that hold its programs.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

const PLATFORM = process.platform === 'win32' ? 'win' : process.platform;

/** The folder of a Node of this major version; `undefined` where npm has none for this machine. */
export function nodeFolder(major, scratch, shell) {
  if (major === Number(process.versions.node.split('.')[0])) return dirname(process.execPath);
  const folder = join(scratch, `node-${major}`);
  const name = `node-${PLATFORM}-${process.arch}`;
  const bin = join(folder, 'node_modules', name, 'bin');
  if (!existsSync(bin)) {
    mkdirSync(folder, { recursive: true });
    try {
      shell.in(folder).run('npm', ['install', '--no-save', '--no-package-lock', '--no-audit', `${name}@${major}`]);
    } catch (error) {
      shell.say(`  ${error.message.split('\n')[0]}`);
      return undefined;
    }
  }
  return existsSync(bin) && readdirSync(bin).some((file) => /^node(?:\.exe)?$/.test(file)) ? bin : undefined;
}
