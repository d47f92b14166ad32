/** `npm run release -- --help` tells; CONTRIBUTING.md tells more. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { flag, readCommandLine } from './command-line.mjs';
import { nextVersion, readChangesets, withVersion } from './release/changesets.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MANIFESTS = ['libs/pooling/package.json', 'package.json', 'package-lock.json'];

const { values } = readCommandLine({
  usage: 'npm run release -- [options]',
  about:
    'Makes the next version of the changesets in `.changeset`, writes it into the manifests and CHANGELOG.md, packs and checks\n' +
    'the package, publishes it, and commits and tags that. It publishes with provenance where the machine can prove what it\n' +
    'is. A run that fails leaves everything as it was.',
  options: { 'dry-run': flag('does everything but publish, and leaves everything as it was') },
});
const isDry = values['dry-run'];

function refuse(message) {
  console.error(message);
  process.exit(1);
}

function run(program, ...parameters) {
  execFileSync(program, parameters, { cwd: ROOT, stdio: 'inherit' });
}

function ask(program, ...parameters) {
  return execFileSync(program, parameters, { cwd: ROOT, encoding: 'utf8' }).trim();
}

/** Files as they were, so that a run that doesn't publish leaves no trace. */
const originals = new Map();

function change(file, edit) {
  const path = join(ROOT, file);
  const text = readFileSync(path, 'utf8');
  originals.set(path, text);
  writeFileSync(path, edit(text));
}

function restore() {
  for (const [path, text] of originals) writeFileSync(path, text);
}

/** Where the machine that publishes can sign for what it built: a job of GitHub or GitLab that may ask for an identity. */
function provenance(manifest) {
  const can = 'ACTIONS_ID_TOKEN_REQUEST_URL' in process.env || 'SIGSTORE_ID_TOKEN' in process.env;
  if (can && manifest.repository !== undefined) return ['--provenance'];
  console.log(
    can ? 'Without provenance: package.json names no repository' : 'Without provenance: this machine has no identity',
  );
  return [];
}

if (!isDry && ask('git', 'status', '--porcelain') !== '')
  refuse('Commit first: the version is made of what is committed');
if (!isDry && ask('git', 'branch', '--show-current') !== 'main') refuse('Versions are made on main');
const manifest = JSON.parse(readFileSync(join(ROOT, MANIFESTS[0]), 'utf8'));
const changesets = readChangesets(join(ROOT, '.changeset'), manifest.name);
if (changesets.length === 0) refuse('Nothing to release: there is no changeset in .changeset');
const version = nextVersion(manifest.version, changesets);
if (ask('git', 'tag', '--list', `v${version}`) !== '') refuse(`There is a tag v${version} already`);

try {
  const from = `"version": "${manifest.version}"`;
  for (const file of MANIFESTS) {
    // The lock file has the version twice, before that of any package.
    const times = file === 'package-lock.json' ? 2 : 1;
    change(file, (text) => {
      let changed = text;
      for (let time = 0; time < times; time++) changed = changed.replace(from, `"version": "${version}"`);
      return changed;
    });
  }
  let chapter = '';
  change('CHANGELOG.md', (text) => {
    const { changelog, notes } = withVersion(text, version, new Date().toISOString().slice(0, 10), changesets);
    chapter = notes;
    return changelog;
  });
  console.log(`${manifest.name} ${version}\n\n${chapter}\n`);
  for (const { path } of changesets) {
    originals.set(path, readFileSync(path, 'utf8'));
    rmSync(path);
  }
  run('npm', 'run', '--silent', 'lint:package');
  const tarball = readdirSync(join(ROOT, 'dist')).find((file) => file === `${manifest.name}-${version}.tgz`);
  if (tarball === undefined) throw new Error(`dist/ has no tarball of ${version}`);
  run('npm', 'publish', join(ROOT, 'dist', tarball), ...provenance(manifest), ...(isDry ? ['--dry-run'] : []));
} catch (error) {
  restore();
  refuse(`Nothing was released: ${error.message}`);
}
if (isDry) restore();
else {
  const files = [...MANIFESTS, 'CHANGELOG.md', '.changeset'].filter((file) => existsSync(join(ROOT, file)));
  run('git', 'add', '--all', ...files);
  run('git', 'commit', '--quiet', '--message', `Release ${version}`);
  run('git', 'tag', '--annotate', `v${version}`, '--message', `${manifest.name} ${version}`);
  console.log('Published. Now: git push --follow-tags');
}
