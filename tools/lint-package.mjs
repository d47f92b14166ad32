// Checks the packed tarball the way its users' tools will read it: publint for package.json and its exports,
// "are the types wrong?" for the types, in every module system and resolution that TypeScript has.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const name = readdirSync(join(root, 'dist')).find((file) => file.endsWith('.tgz'));
if (name === undefined) {
  console.error('There is no tarball in dist/: run `npm run pack` first');
  process.exit(1);
}
const tarball = join(root, 'dist', name);

function run(program, args) {
  const { status } = spawnSync(join(root, 'node_modules/.bin', program), args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}

run('publint', ['run', tarball, '--strict']);
run('attw', [tarball, '--format', 'ascii']);
