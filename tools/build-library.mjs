/**
 * Builds libs/pooling into dist/package: what the tarball holds, laid out as it is installed.
 *
 * The code is there once, as CommonJS, which `require`, `import` and Jest can all load; `import` gets it through a thin ES
 * module. So there is one copy of every class and token in a process, whichever way it was loaded. The types are there
 * twice, because each module system looks for its own.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const library = join(root, 'libs/pooling');
const target = join(root, 'dist/package');
const commonJs = join(target, 'lib/cjs');
const require = createRequire(import.meta.url);

/** The entry points. */
const ENTRIES = ['index.js', 'testing/index.js'];

function compile(project, ...options) {
  const compiler = require.resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [compiler, '-p', join(library, project), ...options], { stdio: 'inherit' });
}

/** Has Kysely imported for those who import the library: Kysely 0.28 has a copy for each module system. */
const IMPORT_KYSELY = `import { importKyselyWith } from './cjs/database/kysely/kysely-module.js';

importKyselyWith(async () => {
  try {
    return { module: await import('kysely') };
  } catch (error) {
    return { error };
  }
});
`;

/** A package that may not be there is loaded where its absence is answered, and nowhere else. */
function refuseStaticRequires() {
  const { peerDependenciesMeta } = JSON.parse(readFileSync(join(library, 'package.json'), 'utf8'));
  const optional = new Set(Object.keys(peerDependenciesMeta));
  for (const file of readdirSync(commonJs, { recursive: true })) {
    if (!file.endsWith('.js') || file.startsWith('testing')) continue;
    for (const [, name] of readFileSync(join(commonJs, file), 'utf8').matchAll(/\brequire\("([^"]+)"\)/g)) {
      if (!optional.has(name)) continue;
      throw new Error(
        `${String(file)} needs ${name} at once: take its types by \`import type\`, its values as database/pg.ts does`,
      );
    }
  }
}

function writeEntry(entry) {
  const names = Object.keys(require(join(commonJs, entry)));
  const depth = '../'.repeat(entry.split('/').length - 1) || './';
  const exported = `export {\n${names.map((name) => `  ${name},\n`).join('')}} from '${depth}cjs/${entry}';\n`;
  writeFileSync(join(target, 'lib', entry), entry === 'index.js' ? `${IMPORT_KYSELY}\n${exported}` : exported);
}

/** The console's page becomes code: it is found wherever the code is. */
function writePageAssets() {
  const { PAGE_FILES } = require(join(commonJs, 'console/page-files.js'));
  const page = join(library, 'src/console/page');
  const charts = dirname(require.resolve('uplot/package.json'));
  const borrowed = {
    'uplot.js': join(charts, 'dist/uPlot.iife.min.js'),
    'uplot.css': join(charts, 'dist/uPlot.min.css'),
  };
  const assets = ['index.html', ...PAGE_FILES].map((name) => [
    name,
    readFileSync(borrowed[name] ?? join(page, name), 'utf8'),
  ]);
  writeFileSync(
    join(commonJs, 'console/page-assets.cjs'),
    `'use strict';
/* The page's files. uplot.js and uplot.css are uPlot as it was published (https://github.com/leeoniya/uPlot):

${readFileSync(join(charts, 'LICENSE'), 'utf8').trim()}
*/
const assets = new Map(${JSON.stringify(assets, null, 2)});
exports.readPageAsset = (name) => assets.get(name);
`,
  );
}

/** The pages that the README leads to: a registry shows none of the repository's files, and an editor finds these. */
function copyDocuments() {
  const pages = readdirSync(join(root, 'docs'), { recursive: true }).filter(
    (page) =>
      page.endsWith('.md') && !/^(?:api|\.vitepress)\b/.test(page) && !['index.md', 'changelog.md'].includes(page),
  );
  for (const page of pages) cpSync(join(root, 'docs', page), join(target, 'docs', page));
}

/** What Nest's command line reads of the schematics. Their types are nobody's. */
function copySchematics() {
  const [from, to] = [join(library, 'src/schematics'), join(commonJs, 'schematics')];
  for (const file of readdirSync(to, { recursive: true })) if (/\.d\.c?ts$/.test(file)) rmSync(join(to, file));
  for (const file of readdirSync(from, { recursive: true })) {
    if (file.endsWith('.json')) cpSync(join(from, file), join(to, file));
  }
}

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
compile('tsconfig.lib.json', '--emitDeclarationOnly');
// Source maps would point at sources that the package doesn't hold.
compile('tsconfig.cjs.json', '--sourceMap', 'false');
refuseStaticRequires();
writeFileSync(join(commonJs, 'package.json'), '{ "type": "commonjs" }\n');
cpSync(join(library, 'package.json'), join(target, 'package.json'));
for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE']) cpSync(join(root, file), join(target, file));
copyDocuments();
for (const entry of ENTRIES) writeEntry(entry);
writePageAssets();
copySchematics();
