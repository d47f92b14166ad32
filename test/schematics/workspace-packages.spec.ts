import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { UnitTestTree } from '@angular-devkit/schematics/testing/index.js';
import { APP_MODULE, project, Workbench } from './workbench.js';

let bench: Workbench;
/** A workspace: `packages/shop` is the application. */
let root: string;

beforeAll(() => {
  bench = new Workbench();
});
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'nestjs-pooling-workspace-')));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});
afterAll(() => bench[Symbol.dispose]());

/** Writes files below the workspace's root. */
function write(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

/** Links a package of the workspace into the `node_modules` of one of its folders, as package managers do. */
function link(name: string, to: string, within: string): void {
  const place = join(root, within, 'node_modules', name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(join(root, to), place, 'junction');
}

const POOLS = `import { Module } from '@nestjs/common';
import { PoolingModule } from 'nestjs-pooling';

@Module({ imports: [PoolingModule.forRoot()] })
export class DatabaseModule {}
`;

/** Runs `nest add` in an application that imports something. */
async function addTo(line: string): Promise<UnitTestTree> {
  const shop = join(root, 'packages/shop');
  mkdirSync(shop, { recursive: true });
  vi.spyOn(process, 'cwd').mockReturnValue(shop);
  return bench.run('nest-add', project('11.1.20', { 'src/app.module.ts': `${line}\n${APP_MODULE}` }));
}

const module = (tree: UnitTestTree): string => tree.readText('src/app.module.ts');

describe('nest add in a workspace of packages', () => {
  it.each([
    ['with npm and Yarn: above it', ''],
    ['with pnpm: in its own folder', 'packages/shop'],
  ])('finds PoolingModule in the package that the application imports, linked %s', async (_how, within) => {
    write({ 'packages/database/package.json': '{}', 'packages/database/src/index.ts': POOLS });
    link('@acme/database', 'packages/database', within);
    const tree = await addTo(`import { DatabaseModule } from '@acme/database';`);
    expect(module(tree)).not.toContain('nestjs-pooling');
    expect(bench.said).toContain('../database/src/index.ts: PoolingModule is imported');
  });

  it('finds it by way of another package and a file that exports it again', async () => {
    write({
      'packages/common/package.json': '{}',
      'packages/common/src/index.ts': `export * from '@acme/database/module';\n`,
      'packages/database/package.json': '{}',
      'packages/database/src/pools.ts': `export * from 'nestjs-pooling';\n`,
      'packages/database/src/module.ts': POOLS.replace("'nestjs-pooling'", "'./pools'"),
    });
    link('common', 'packages/common', 'packages/shop');
    link('@acme/database', 'packages/database', 'packages/common');
    const tree = await addTo(`import { DatabaseModule } from 'common';`);
    expect(module(tree)).not.toContain('nestjs-pooling');
    expect(bench.said).toContain('../database/src/module.ts: PoolingModule is imported');
    await bench.run('http-client', tree, { name: 'carrier' });
    expect(bench.said).not.toContain('nowhere');
  });

  it.each([
    ['that the application doesn’t import', '', 'packages/shop'],
    ['that isn’t linked', `import { DatabaseModule } from '@acme/database';`, 'packages/other'],
  ])('doesn’t look into a package %s', async (_which, line, within) => {
    write({ 'packages/database/package.json': '{}', 'packages/database/src/index.ts': POOLS });
    link('@acme/database', 'packages/database', within);
    expect(module(await addTo(line))).toContain('PoolingModule.forRoot()');
  });

  it('doesn’t look into packages of others, nor into what a package was built to', async () => {
    write({
      'packages/shop/node_modules/@acme/database/package.json': '{}',
      'packages/shop/node_modules/@acme/database/src/index.ts': POOLS,
      'packages/tools/package.json': '{}',
      'packages/tools/dist/index.ts': POOLS,
      'packages/tools/node_modules/x/index.ts': POOLS,
    });
    link('tools', 'packages/tools', 'packages/shop');
    const tree = await addTo(`import '@acme/database';\nimport 'tools';`);
    expect(module(tree)).toContain('PoolingModule.forRoot()');
  });

  it('survives packages that import each other', async () => {
    for (const [name, other] of [
      ['one', 'two'],
      ['two', 'one'],
    ] as const) {
      write({
        [`packages/${name}/package.json`]: '{}',
        [`packages/${name}/src/index.ts`]: `export * from '${other}';`,
      });
      link(name, `packages/${name}`, '');
    }
    expect(module(await addTo(`import 'one';`))).toContain('PoolingModule.forRoot()');
  });
});
