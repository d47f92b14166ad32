import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const exec = promisify(execFile);

const FIRST = `---\n'nestjs-pooling': patch\n---\n\nA pool that is closed says so.\n\nIn every language.\n`;
const SECOND = `---\n"nestjs-pooling": minor\n---\n\nThe client has a new option.\n`;

/** What npm sends to publish, as far as it matters here. */
interface Published {
  readonly name: string;
  readonly versions: Readonly<Record<string, { readonly schematics: string }>>;
  readonly _attachments: Readonly<Record<string, { readonly length: number }>>;
}

let copy: string;
let registry: Server;
let published: Published[];
let environment: NodeJS.ProcessEnv;

/** What git has of the repository, as a repository of its own, with another set of changesets. */
async function copyRepository(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-pooling-release-'));
  const { stdout } = await exec('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    maxBuffer: 2 ** 24,
  });
  for (const file of stdout.split('\n').filter((name) => /^(?:libs|tools|docs|\.changeset)\/|^[^/]+$/.test(name))) {
    if (file === '' || (file.startsWith('.changeset/') && file !== '.changeset/README.md')) continue;
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await cp(join(ROOT, file), join(folder, file));
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function git(...parameters: string[]): Promise<string> {
  const identity = ['-c', 'user.name=Somebody', '-c', 'user.email=somebody@shop.example'];
  return (await exec('git', [...identity, ...parameters], { cwd: copy, maxBuffer: 2 ** 24 })).stdout.trim();
}

async function release(...parameters: string[]): Promise<{ code: number; output: string }> {
  const done = (stdout: string, stderr: string, code: number) => ({ code, output: `${stdout}${stderr}` });
  return exec(process.execPath, ['tools/release.mjs', ...parameters], {
    cwd: copy,
    env: environment,
    maxBuffer: 2 ** 24,
  }).then(
    ({ stdout, stderr }) => done(stdout, stderr, 0),
    (error: { stdout: string; stderr: string; code: number }) => done(error.stdout, error.stderr, error.code),
  );
}

const read = (file: string): Promise<string> => readFile(join(copy, file), 'utf8');
const versionOf = async (file: string): Promise<string> =>
  (JSON.parse(await read(file)) as { version: string }).version;

describe('a release', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    copy = await copyRepository();
    await writeFile(
      join(copy, 'CHANGELOG.md'),
      '# Changelog\n\n## Unreleased\n\n- Much is new.\n\n## 0.1.0\n\nThe first.\n',
    );
    const version = await versionOf('libs/pooling/package.json');
    expect(await versionOf('package.json')).toBe(version);
    for (const file of ['libs/pooling/package.json', 'package.json', 'package-lock.json'])
      await writeFile(join(copy, file), (await read(file)).replaceAll(`"version": "${version}"`, '"version": "0.1.0"'));
    // Building and checking the package are `npm run check`'s: here its manifest is packed, without code.
    const pack =
      'mkdir -p dist/package && cp libs/pooling/package.json README.md LICENSE dist/package && node tools/pack.mjs';
    await writeFile(
      join(copy, 'package.json'),
      (await read('package.json')).replace(/("lint:package": ").*(",)/, `$1${pack}$2`),
    );
    await git('init', '--quiet', '--initial-branch', 'main');
    await git('config', 'user.name', 'Somebody');
    await git('config', 'user.email', 'somebody@shop.example');
    published = [];
    registry = createServer((request, response) => {
      const parts: Buffer[] = [];
      request
        .on('data', (part: Buffer) => parts.push(part))
        .on('end', () => {
          if (request.method === 'PUT') published.push(JSON.parse(Buffer.concat(parts).toString()) as Published);
          response.writeHead(request.method === 'PUT' ? 201 : 404, { 'content-type': 'application/json' }).end('{}');
        });
    }).listen(0, '127.0.0.1');
    await once(registry, 'listening');
    const address = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
    await writeFile(join(copy, '.git/npmrc'), `registry=http://${address}/\n//${address}/:_authToken=somebody\n`);
    const kept = Object.entries(process.env).filter(
      ([name]) => !/^npm_|^ACTIONS_|^SIGSTORE_|^NODE_OPTIONS$/i.test(name),
    );
    environment = {
      ...Object.fromEntries(kept),
      npm_config_userconfig: join(copy, '.git/npmrc'),
      npm_config_registry: `http://${address}/`,
    };
    await writeFile(join(copy, '.gitignore'), 'node_modules\ndist\n');
    await git('add', '--all');
    await git('commit', '--quiet', '--message', 'Begin');
  }, 120_000);

  afterAll(async () => {
    registry.close();
    await rm(copy, { recursive: true, force: true });
  });

  it('is refused without a changeset, and with one that names no level', async () => {
    expect(await release('--dry-run')).toMatchObject({
      code: 1,
      output: expect.stringContaining('there is no changeset') as string,
    });
    await writeFile(join(copy, '.changeset/wrong.md'), '---\n"nestjs-pooling": huge\n---\n');
    expect((await release('--dry-run')).output).toContain('.changeset/wrong.md has to begin with');
    await rm(join(copy, '.changeset/wrong.md'));
  });

  it('is refused with changes that aren’t committed', async () => {
    await writeFile(join(copy, '.changeset/first.md'), FIRST);
    expect(await release()).toMatchObject({ code: 1, output: expect.stringContaining('Commit first') as string });
    await writeFile(join(copy, '.changeset/second.md'), SECOND);
    await git('add', '--all');
    await git('commit', '--quiet', '--message', 'Change something');
  });

  it('can be tried: --dry-run shows version, changelog and package, and leaves everything as it was', async () => {
    const { code, output } = await release('--dry-run');
    expect(code, output).toBe(0);
    expect(output).toContain('nestjs-pooling 0.2.0\n\n- Much is new.\n\n- A pool that is closed says so.');
    expect(output).toMatch(/nestjs-pooling-0\.2\.0\.tgz/);
    expect(output).toContain('Without provenance');
    expect(await git('status', '--porcelain')).toBe('');
    expect(await git('tag')).toBe('');
    expect(published).toEqual([]);
  });

  it('publishes, commits and tags', async () => {
    const { code, output } = await release();
    expect(code, output).toBe(0);
    expect(published).toHaveLength(1);
    expect(published[0]).toMatchObject({
      name: 'nestjs-pooling',
      versions: { '0.2.0': { schematics: expect.any(String) as string } },
    });
    const day = new Date().toISOString().slice(0, 10);
    expect(await read('CHANGELOG.md')).toMatch(
      new RegExp(
        `^# Changelog\n\n## 0\\.2\\.0 \\(${day.slice(0, 8)}\\d\\d\\)\n\n- Much is new\\.\n\n- A pool that is closed says so\\.\n\n  In every language\\.\n- The client has a new option\\.\n\n## 0\\.1\\.0\n\nThe first\\.\n$`,
      ),
    );
    for (const file of ['libs/pooling/package.json', 'package.json', 'package-lock.json'])
      expect(await versionOf(file)).toBe('0.2.0');
    expect(
      (JSON.parse(await read('package-lock.json')) as { packages: Record<string, { version: string }> }).packages['']!
        .version,
    ).toBe('0.2.0');
    expect(await git('ls-files', '.changeset')).toBe('.changeset/README.md');
    expect(await git('log', '-1', '--format=%s')).toBe('Release 0.2.0');
    expect(await git('tag', '--points-at', 'HEAD')).toBe('v0.2.0');
    expect(await git('status', '--porcelain')).toBe('');
  });
});
