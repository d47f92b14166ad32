import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UnitTestTree } from '@angular-devkit/schematics/testing/index.js';
import { Catalogs } from '#pooling/schematics/packages/catalogs.js';
import { allows, majorOf } from '#pooling/schematics/packages/version-range.js';
import { project, Workbench } from './workbench.js';

let bench: Workbench;
/** A folder in which nothing is installed. */
let folder: string;
beforeAll(() => {
  bench = new Workbench();
  folder = mkdtempSync(join(tmpdir(), 'nestjs-pooling-versions-'));
});
afterAll(() => {
  bench[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => vi.restoreAllMocks());

/** Adds the library in a folder, to a project of which nothing is installed. */
async function addTo(
  dependencies: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>> = {},
  at = folder,
): Promise<UnitTestTree> {
  const { 'node_modules/@nestjs/core/package.json': _, ...all } = project('11.1.20', files);
  const manifest = JSON.parse(all['package.json']!) as { dependencies: Record<string, string> };
  Object.assign(manifest.dependencies, dependencies);
  vi.spyOn(process, 'cwd').mockReturnValue(at);
  return bench.run('nest-add', { ...all, 'package.json': JSON.stringify(manifest) });
}

const nest = (range: string): Record<string, string> => ({ '@nestjs/core': range, '@nestjs/common': range });
const added = (tree: UnitTestTree): Record<string, string> =>
  (JSON.parse(tree.readText('package.json')) as { dependencies: Record<string, string> }).dependencies;

describe('where nothing is installed yet, package.json tells Nest’s version', () => {
  it.each([
    ['^11.0.0', '^11.0.0'],
    ['~12.1.0', '^12.0.0'],
    ['>=11', '^12.0.0'],
    ['^10.0.0 || ^11.0.0', '^11.0.0'],
    ['npm:@nestjs/core@^11.1.0', '^11.0.0'],
    ['workspace:^11.1.0', '^11.0.0'],
  ])('%s: Terminus %s', async (range, terminus) => {
    expect(added(await addTo(nest(range)))['@nestjs/terminus']).toBe(terminus);
    expect(bench.said).not.toMatch(/doesn't work|can't be told/);
  });

  it.each(['catalog:', 'catalog:nest', 'workspace:*', 'latest', '*', 'github:nestjs/nest', 'file:../nest'])(
    '%s tells none: Terminus is that of the newest Nest, and the user is told',
    async (range) => {
      expect(added(await addTo(nest(range)))['@nestjs/terminus']).toBe('^12.0.0');
      expect(bench.said).toContain(
        `"${range}" doesn't show the version of Nest: @nestjs/terminus must have the same major version`,
      );
    },
  );

  it('a package of the same version tells it, too', async () => {
    const tree = await addTo({ '@nestjs/core': 'catalog:', '@nestjs/common': '^11.1.0' });
    expect(added(tree)['@nestjs/terminus']).toBe('^11.0.0');
    expect(bench.said).not.toContain(`can't be told`);
  });
});

it.each(['^10.4.0', '~9.1.0', '^13.0.0'])('Nest %s gets a warning', async (range) => {
  await addTo(nest(range));
  expect(bench.said).toContain(`Nest ${/\d+/.exec(range)![0]} doesn't work with nestjs-pooling, which takes 11 or 12`);
});

describe('a package that is there', () => {
  it.each(['catalog:', 'workspace:*', 'latest', '*', '^6.21.0 || ^7.30.0', '>=6', '7.x', '>=7.1 <9'])(
    'that may work gets no warning: undici %s',
    async (undici) => {
      const tree = await addTo({ ...nest('^11.0.0'), undici });
      expect(added(tree)['undici']).toBe(undici);
      expect(bench.said).toContain(`undici ${undici} is there`);
      expect(bench.said).not.toContain("doesn't work");
    },
  );

  it.each(['^6.21.0', '>=5 <7', '7.29.0', '~7.10.0', '5 - 6', '^9.0.0'])(
    'that can’t work gets one: undici %s',
    async (undici) => {
      await addTo({ ...nest('^11.0.0'), undici });
      expect(bench.said).toContain(`undici ${undici} doesn't work with nestjs-pooling, which takes 7.30 or 8`);
    },
  );
});

describe('a range', () => {
  it.each([
    ['^0.28.2', true],
    ['~0.27.0', false],
    ['0.29.0', true],
    ['^0.30.0', false],
    ['<0.28.0', false],
    ['<=0.28', true],
    ['< 0.28.1', true],
    ['latest', undefined],
  ])('%s allows 0.28 or 0.29: %s', (range, expected) => {
    expect(
      allows(range, [
        [0, 28],
        [0, 29],
      ]),
    ).toBe(expected);
  });

  it.each([
    ['11.1.20', 11],
    ['v12.0.0', 12],
    ['>10', 12],
    ['>=10 <12', 11],
    ['10 - 11', 11],
    ['^9.0.0', 9],
    ['next', undefined],
  ])('%s is of major version %s', (range, expected) => {
    expect(majorOf(range, [11, 12])).toBe(expected);
  });
});

/** A workspace's root with a project in it. */
function workspace(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(folder, 'workspace-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  const own = join(root, 'packages/shop');
  mkdirSync(own, { recursive: true });
  return own;
}

describe('where package.json takes a version from a catalog', () => {
  const CATALOG = `# ours
packages:
  - packages/*
catalog:
  '@nestjs/core': ^11.1.0 # not 12 yet
  "undici": '^6.21.0'
  kysely: 0.28.2
  prom-client: ^14.0.0
catalogs:
  next:
    '@nestjs/core': ^12.0.0
  default:
    pg: ^8.16.0
`;

  it.each([
    ['of pnpm, in the project', 'catalog:', '^11.0.0', { 'pnpm-workspace.yaml': CATALOG }, {}],
    ['of pnpm, above it', 'catalog:default', '^11.0.0', {}, { 'pnpm-workspace.yaml': CATALOG, 'package.json': '{}' }],
    ['with a name', 'catalog:next', '^12.0.0', {}, { 'pnpm-workspace.yaml': CATALOG, 'package.json': '{}' }],
    ['of Yarn', 'catalog:', '^11.0.0', { '.yarnrc.yml': CATALOG.replaceAll('\n', '\r\n') }, {}],
  ])('the catalog tells Nest’s: one %s', async (_which, range, terminus, own, above) => {
    const tree = await addTo(nest(range), own as Record<string, string>, workspace(above as Record<string, string>));
    expect(added(tree)['@nestjs/terminus']).toBe(terminus);
    expect(bench.said).not.toContain(`can't be told`);
  });

  it('a package that can’t work is named with what the catalog has', async () => {
    await addTo({ ...nest('catalog:'), undici: 'catalog:' }, { 'pnpm-workspace.yaml': CATALOG });
    expect(bench.said).toContain(`undici ^6.21.0 doesn't work with nestjs-pooling, which takes 7.30 or 8`);
  });

  it('what is missing is taken from the catalog too, where its version works', async () => {
    const packages = added(await addTo(nest('catalog:'), { 'pnpm-workspace.yaml': CATALOG }));
    expect(packages).toMatchObject({ kysely: 'catalog:', pg: 'catalog:', 'prom-client': '^15.0.0' });
    expect(packages['undici']).toMatch(/^\^[78]/);
  });

  it.each([
    ['in flow style', 'catalog: { kysely: ^0.28.0 }'],
    ['of another catalog', 'catalogs:\n  next:\n    kysely: ^0.28.0'],
    ['that is only a comment', 'catalog:\n  # kysely: ^0.28.0'],
    ['of something else', 'overrides:\n  kysely: ^0.28.0'],
    ['', ''],
  ])('a range stays as it is where there is no entry that is understood: one %s', (_which, text) => {
    const catalogs = new Catalogs((file) => (file === 'pnpm-workspace.yaml' ? text : undefined));
    expect(catalogs.resolve('kysely', 'catalog:')).toBe('catalog:');
    expect(catalogs.resolve('kysely', '^0.29.0')).toBe('^0.29.0');
    expect(catalogs.rangeOf('kysely')).toBeUndefined();
  });
});

describe('a project in a workspace', () => {
  it.each([
    [{ 'pnpm-workspace.yaml': 'packages: [packages/*]', 'package.json': '{}' }, 'pnpm'],
    [{ 'package.json': '{ "workspaces": ["packages/*"] }', 'yarn.lock': '' }, 'yarn'],
    [{ 'package.json': '{ "workspaces": ["packages/*"], "packageManager": "yarn@4.9.0" }' }, 'yarn'],
    [{ 'package.json': '\uFEFF{ "workspaces": ["packages/*"] }', 'package-lock.json': '{}' }, 'npm'],
  ])('is installed by the workspace’s manager: %j', async (files, packageManager) => {
    await addTo(nest('^11.0.0'), {}, workspace(files as Record<string, string>));
    expect(bench.runner.tasks).toMatchObject([{ options: { packageManager } }]);
  });

  it.each<Record<string, string>>([{ 'yarn.lock': '' }, { 'package.json': '{ "packageManager": "yarn@4.9.0" }' }])(
    'is none in a folder that only happens to be above it: %j',
    async (files) => {
      await addTo(nest('^11.0.0'), {}, workspace(files));
      expect(bench.runner.tasks).toHaveLength(1);
      expect(bench.runner.tasks[0]!.options).not.toHaveProperty('packageManager');
    },
  );

  it('is installed by its own manager if it has one', async () => {
    const at = workspace({ 'pnpm-workspace.yaml': '', 'package.json': '{}' });
    await addTo(nest('^11.0.0'), { 'yarn.lock': '' }, at);
    expect(bench.runner.tasks).toMatchObject([{ options: { packageManager: 'yarn' } }]);
  });
});
