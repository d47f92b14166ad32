/** `npm run test:projects -- --help` tells; see projects/recipes.mjs. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { flag, numbers, readCommandLine } from './command-line.mjs';
import { nodeFolder } from './projects/node-versions.mjs';
import { RECIPES, SHORT } from './projects/recipes.mjs';
import { startRegistry } from './projects/start-registry.mjs';
import { cleanEnvironment, Shell } from './projects/shell.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NODES = [20, 22, 24, 26];

const thisNode = Number(process.versions.node.split('.')[0]);
const { values, names } = readCommandLine({
  usage: 'npm run test:projects -- [options] [project …]',
  about:
    'Makes new Nest projects in scratch folders, from the registry and the packed tarball alone, gives them the library with\n' +
    '`nest add`, builds them with `skipLibCheck: false`, runs their tests, and runs them: they answer with the database up, and\n' +
    'end on SIGTERM with exit code 0. All of them take an hour.',
  options: {
    node: numbers('the versions of Node', { shown: `${NODES.join(',')}; with --short ${thisNode}, this one` }),
    short: flag(`${SHORT.join(' and ')} alone`),
    pack: flag('packs the library first, as `npm run test:projects` does'),
    keep: flag('leaves the folders of projects that failed'),
  },
  names: { text: 'Projects (all)', among: Object.keys(RECIPES) },
  examples: ['npm run test:projects -- --short', 'npm run test:projects -- --node 20,24 nest-11 nest-12-esbuild'],
});
if (values.pack) execFileSync('npm', ['run', '-s', 'pack'], { cwd: ROOT, stdio: 'inherit' });
const name = existsSync(join(ROOT, 'dist')) && readdirSync(join(ROOT, 'dist')).find((file) => file.endsWith('.tgz'));
if (!name) {
  console.error('There is no tarball in dist/: run `npm run pack` first');
  process.exit(2);
}
const tarball = join(ROOT, 'dist', name);
const wanted = names.length > 0 ? names : values.short ? SHORT : Object.keys(RECIPES);
const nodes = values.node ?? (values.short ? [thisNode] : NODES);

const { PostgresServer } = await import('../dist/package/lib/testing/index.js');
const scratch = mkdtempSync(join(tmpdir(), 'nestjs-pooling-projects-'));
chmodSync(scratch, 0o755);
const server = await PostgresServer.start();
const registry = await startRegistry(tarball);
const say = (text) => console.log(text);
const failures = [];
let kept = false;

async function tryProject(recipe, node) {
  const title = `${recipe} on Node ${node}`;
  say(title);
  const bin = nodeFolder(node, scratch, new Shell(scratch, cleanEnvironment(), say));
  if (bin === undefined) return void failures.push(`${title}: NOT RUN: npm has no such Node for this machine`);
  const folder = mkdtempSync(join(scratch, `${recipe}-`));
  const env = cleanEnvironment({
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    npm_config_registry: registry.address,
    DATABASE_URL: await server.createDatabase(`${recipe}-${node}`),
  });
  const shell = new Shell(folder, env, say);
  const { nest, manager, run } = RECIPES[recipe];
  try {
    await run({ shell, scratch: folder, env, say, nest, manager });
    say(`${title}: passed`);
  } catch (error) {
    say(`${title}: FAILED\n${error.message}`);
    failures.push(`${title}: FAILED`);
    if (values.keep) return void (kept = true);
  }
  rmSync(folder, { recursive: true, force: true });
}

try {
  for (const node of nodes) for (const recipe of wanted) await tryProject(recipe, node);
} finally {
  registry.stop();
  await server.close();
  if (kept) say(`kept in ${scratch}`);
  else rmSync(scratch, { recursive: true, force: true });
}
const runs = nodes.length * wanted.length;
say(`\n${runs - failures.length} of ${runs} projects passed${failures.map((failure) => `\n  ${failure}`).join('')}`);
process.exitCode = failures.length === 0 ? 0 : 1;
