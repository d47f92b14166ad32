// Checks the packed tarball the way its users' tools will read it: publint for package.json and its exports,
// "are the types wrong?" for the types, in every module system and resolution that TypeScript has. What the README
// leads to has to be in it: a registry's page shows no file of the repository.
import { execFileSync, spawnSync } from 'node:child_process';
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

const inTarball = (file) => execFileSync('tar', ['-xzOf', tarball, `package/${file}`], { encoding: 'utf8' });
const packed = new Set(execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).split('\n'));
const missing = Array.from(inTarball('README.md').matchAll(/\]\((?!https:|#)([^)#\s]+)/g), ([, link]) => link).filter(
  (link) => !packed.has(`package/${link}`),
);
if (missing.length > 0) {
  console.error(`The README leads to what isn't in the package: ${missing.join(', ')}`);
  process.exitCode = 1;
}

run('publint', ['run', tarball, '--strict']);
run('attw', [tarball, '--format', 'ascii']);
