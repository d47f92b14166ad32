// Packs dist/package into dist/nestjs-pooling-<version>.tgz and refuses a tarball with anything unexpected in it.
import { execFileSync } from 'node:child_process';
import { rmSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

for (const file of readdirSync(dist)) if (file.endsWith('.tgz')) rmSync(join(dist, file));
const output = execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', dist], {
  cwd: join(dist, 'package'),
  encoding: 'utf8',
});
const [{ filename, files, size }] = Object.values(JSON.parse(output));

const expected =
  /^(?:LICENSE|(?:README|CHANGELOG)\.md|docs\/.+\.md|package\.json|lib\/cjs\/package\.json|lib\/cjs\/schematics\/.+\.json|lib\/.+\.(?:c?js|d\.c?ts))$/;
const unexpected = files.map(({ path }) => path).filter((path) => !expected.test(path) || /\.spec\./.test(path));
if (unexpected.length > 0) {
  console.error(`The package must not hold:\n${unexpected.map((path) => `  ${path}`).join('\n')}`);
  process.exit(1);
}
console.log(`dist/${filename}: ${files.length} files, ${Math.ceil(size / 1024)} KiB`);
