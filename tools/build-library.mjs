// Builds libs/pooling into dist/package: what the tarball holds, laid out as it is installed.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const library = join(root, 'libs/pooling');
const target = join(root, 'dist/package');

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
// Source maps would point at sources that the package doesn't hold.
execFileSync(process.execPath, [compiler, '-p', join(library, 'tsconfig.lib.json'), '--sourceMap', 'false'], {
  stdio: 'inherit',
});

// What isn't TypeScript is served as it is: the console's page.
cpSync(join(library, 'src'), join(target, 'lib'), {
  recursive: true,
  filter: (source) => !source.endsWith('.ts'),
});
// The charts' library, as it was published and with its licence: the page loads nothing from elsewhere.
const charts = dirname(createRequire(import.meta.url).resolve('uplot/package.json'));
const vendor = join(target, 'lib/console/page/vendor');
for (const file of ['dist/uPlot.iife.min.js', 'dist/uPlot.min.css', 'LICENSE']) {
  cpSync(join(charts, file), join(vendor, basename(file)));
}
cpSync(join(library, 'package.json'), join(target, 'package.json'));
cpSync(join(root, 'README.md'), join(target, 'README.md'));
cpSync(join(root, 'LICENSE'), join(target, 'LICENSE'));
