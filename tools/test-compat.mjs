/** `npm run test:compat -- --help` tells. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { flag, readCommandLine } from './command-line.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const DATABASE_SUITES = [
  'libs/pooling/src/database',
  'test/kysely',
  'test/transactional',
  'test/compatibility',
  'test/parity',
  'test/tracers',
];
const HTTP_SUITES = ['libs/pooling/src/http'];
const NEST_SUITES = [
  'test/module.spec.ts',
  'test/module-health.spec.ts',
  'test/module-metrics.spec.ts',
  'test/module-shutdown.spec.ts',
  'test/routes.spec.ts',
  'test/routes-elsewhere.spec.ts',
];

const RUNS = {
  usual: { mode: [], suites: [...DATABASE_SUITES, ...HTTP_SUITES, ...NEST_SUITES] },
  pipelining: { mode: ['--mode', 'pipelining'], suites: DATABASE_SUITES },
};

const NEST_COMPANIONS = ['platform-express', 'platform-fastify', 'swagger', 'testing'].map((name) => `@nestjs/${name}`);

const { peerDependencies, dependencies } = JSON.parse(readFileSync(join(ROOT, 'libs/pooling/package.json'), 'utf8'));

/** The lowest version of a range such as `^11.0.0 || ^12.0.0`; none of `*`. */
function floorOf(range) {
  return /\d+\.\d+\.\d+/.exec(range)?.[0];
}

function oldestPackages() {
  const floors = Object.entries({ ...peerDependencies, ...dependencies })
    .map(([name, range]) => [name, floorOf(range)])
    .filter(([, floor]) => floor !== undefined);
  const nest = floorOf(peerDependencies['@nestjs/core']);
  return [
    ...floors.map(([name, floor]) => `${name}@${floor}`),
    ...NEST_COMPANIONS.map((name) => `${name}@${nest}`),
    // Of the time of that pg; its own range would take the newest.
    'pg-protocol@1.10.0',
    'pg-query-stream@4.10.0',
  ];
}

const ENDS = {
  newest: {
    packages: [
      'kysely@latest',
      'undici@latest',
      'pg@latest',
      'pg-cursor@latest',
      'pg-query-stream@latest',
      'prom-client@latest',
      ...['@nestjs/common', '@nestjs/core', '@nestjs/terminus', ...NEST_COMPANIONS].map((name) => `${name}@latest`),
    ],
    // Kysely 0.29 and undici 8 want at least 22.19.
    node: 24,
    types: true,
  },
  oldest: { packages: oldestPackages(), node: undefined, types: false },
};

function run(program, parameters, cwd, env = process.env) {
  console.log(`$ ${[program, ...parameters].join(' ')}`);
  return spawnSync(program, parameters, { cwd, env, stdio: 'inherit' }).status === 0;
}

/** The checkout as it is, uncommitted changes included, without what git ignores. */
function copyCheckout(target) {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: ROOT });
  for (const file of listed.toString().split('\0')) {
    if (file === '' || !existsSync(join(ROOT, file))) continue;
    mkdirSync(dirname(join(target, file)), { recursive: true });
    cpSync(join(ROOT, file), join(target, file));
  }
}

/** The running Node, or one of at least `major` from npm; `undefined` where npm has none for this machine. */
function nodeFor(major, folder) {
  if (major === undefined || Number(process.versions.node.split('.')[0]) >= major) return process.execPath;
  mkdirSync(folder);
  const installed = run('npm', ['install', '--no-save', '--no-package-lock', `node@${major}`], folder);
  const program = join(folder, 'node_modules/node/bin/node');
  return installed && existsSync(program) ? program : undefined;
}

function installedVersion(folder, name) {
  return JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version;
}

function test(name, { packages, node: major, types }, { mode, suites }) {
  const folder = mkdtempSync(join(tmpdir(), `nestjs-pooling-${name}-`));
  // The tests' PostgreSQL runs as somebody else when we are root.
  chmodSync(folder, 0o755);
  try {
    const node = nodeFor(major, join(folder, 'node'));
    if (node === undefined) return `${name}: NOT RUN: it wants Node ${major}, and npm has none for this machine`;
    const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` };
    const checkout = join(folder, 'checkout');
    copyCheckout(checkout);
    // Tools of the repository may ask for newer peers than are tried here: nothing of theirs is run.
    const installed = run('npm', ['install', '--legacy-peer-deps', '--save-exact', ...packages], checkout, env);
    if (!installed) return `${name}: FAILED to install`;
    const names = packages.map((spec) => spec.slice(0, spec.lastIndexOf('@')));
    const versions = names.map((each) => `${each} ${installedVersion(checkout, each)}`).join(', ');
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
    // Only the newest: who has older ones gets our JavaScript, compiled with those of the lock file.
    const typed =
      !types ||
      run(node, ['node_modules/typescript/bin/tsc', '-p', 'libs/pooling/tsconfig.lib.json', '--noEmit'], checkout, env);
    const tested = run(node, ['node_modules/vitest/vitest.mjs', 'run', ...mode, ...suites], checkout, env);
    const verdict = [
      !types ? 'types not checked' : typed ? 'types passed' : 'types FAILED',
      tested ? 'tests passed' : 'tests FAILED',
    ].join(', ');
    return `${name}: ${verdict} on Node ${version} with ${versions}\n  ran: ${[...mode, ...suites].join(' ')}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values, names: wanted } = readCommandLine({
  usage: 'npm run test:compat -- [options] [newest] [oldest]',
  about:
    'Runs the suites that meet our peers with other versions of them than the lock file has: the newest there are, and the\n' +
    'oldest that package.json of the library allows. Each in a copy of the checkout under the temporary folder, with a newer\n' +
    'Node from npm where the peers want one.',
  options: { pipelining: flag("the database's suites alone, with pipelining as the default") },
  names: { text: 'Ends of the range (both)', among: Object.keys(ENDS) },
  examples: ['npm run test:compat -- oldest', 'npm run test:compat -- newest --pipelining'],
});
const results = Object.entries(ENDS)
  .filter(([name]) => wanted.length === 0 || wanted.includes(name))
  .map(([name, end]) => test(name, end, values.pipelining ? RUNS.pipelining : RUNS.usual));
console.log(`\n${results.join('\n')}`);
process.exitCode = results.every((result) => !/FAILED|NOT RUN/.test(result)) ? 0 : 1;
