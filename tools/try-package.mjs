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

/** The version that the lock file has. */
function lockedVersion(name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
}

const peers = Object.keys(library.peerDependencies).filter((name) => name !== ABSENT);
const versions = Object.fromEntries([...peers, ...NEST].map((name) => [name, lockedVersion(name)]));

const project = mkdtempSync(join(tmpdir(), 'nestjs-pooling-package-'));
try {
  // The testing entry's PostgreSQL runs as somebody else when we are root.
  chmodSync(project, 0o755);
  cpSync(join(dist, tarball), join(project, tarball));
  cpSync(join(root, 'tools/package-trial'), project, { recursive: true });
  const dependencies = { [library.name]: `file:${tarball}`, ...versions };
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies }, null, 2),
  );
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...flags], { cwd: project, stdio: 'inherit' });
  // prom-client brings OpenTelemetry's API for itself; layouts that keep packages apart hide it from others.
  const [from, to] = [join(project, 'node_modules'), join(project, 'node_modules/prom-client/node_modules')];
  mkdirSync(to, { recursive: true });
  renameSync(join(from, '@opentelemetry'), join(to, '@opentelemetry'));
  // Nothing of this repository's environment: no flags of Node's, no variables of PostgreSQL's.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:NODE_|PG|DATABASE_URL|npm_)/i.test(name)),
  );
  const tryIt = (trial) => {
    const { status } = spawnSync(process.execPath, [trial], { cwd: project, env, stdio: 'inherit', timeout: 60_000 });
    if (status === 0) return;
    console.error(`The tarball doesn't work in a project of its own (exit code ${status})`);
    process.exitCode = 1;
  };
  tryIt('trial.mjs');
  for (const name of peers)
    if (!/^@nestjs\/(?:common|core)$|^rxjs$/.test(name)) rmSync(join(from, name), { recursive: true });
  tryIt('without-peers.mjs');
} finally {
  rmSync(project, { recursive: true, force: true });
}
