import { APP_MODULE, MAIN, project, Workbench } from './workbench.js';

let bench: Workbench;
beforeAll(() => {
  bench = new Workbench();
});
afterAll(() => bench[Symbol.dispose]());

const SHARED = `import { Module } from '@nestjs/common';
import { PoolingModule } from 'nestjs-pooling';

@Module({ imports: [PoolingModule.forRoot()] })
export class DatabaseModule {}
`;
const NEST_CLI = JSON.stringify({
  monorepo: true,
  sourceRoot: 'apps/shop/src',
  projects: {
    shop: { type: 'application', sourceRoot: 'apps/shop/src' },
    database: { type: 'library', sourceRoot: 'libs/database/src' },
    common: { type: 'library', sourceRoot: 'libs/common/src' },
  },
});
const PATHS = {
  '@app/database': ['libs/database/src'],
  '@app/database/*': ['libs/database/src/*'],
  '@app/common': ['./libs/common/src'],
};

/** A monorepo whose application imports something. */
function monorepo(line: string, files: Readonly<Record<string, string>> = {}): Record<string, string> {
  return project('11.1.20', {
    'nest-cli.json': NEST_CLI,
    'tsconfig.json': `{ // ours\n "compilerOptions": { "baseUrl": "./", "paths": ${JSON.stringify(PATHS)} } }`,
    'apps/shop/src/main.ts': MAIN,
    'apps/shop/src/app.module.ts': `${line}\n${APP_MODULE}`,
    'libs/database/src/index.ts': `export * from './database.module';\n`,
    'libs/database/src/database.module.ts': SHARED,
    'libs/common/src/index.ts': `export { DatabaseModule } from '@app/database';\n`,
    ...files,
  });
}

const OPTIONS = { sourceRoot: 'apps/shop/src', project: 'shop' };

describe('nest add in a monorepo with a library that imports PoolingModule', () => {
  it.each([
    ['by its path in tsconfig.json', `import { DatabaseModule } from '@app/database';`],
    ['by a file of it', `import { DatabaseModule } from '@app/database/database.module';`],
    ['by a relative path', `import { DatabaseModule } from '../../../libs/database/src';`],
    ['by way of another library', `import { DatabaseModule } from '@app/common';`],
  ])('leaves the application alone that imports this library %s', async (_how, line) => {
    const files = monorepo(line);
    const tree = await bench.run('nest-add', files, OPTIONS);
    expect(tree.readText('apps/shop/src/app.module.ts')).toBe(files['apps/shop/src/app.module.ts']);
    expect(bench.said).toContain('libs/database/src/database.module.ts: PoolingModule is imported');
    await bench.run('http-client', tree, { ...OPTIONS, name: 'carrier' });
    expect(bench.said).not.toContain('nowhere');
  });

  it.each([
    ['nothing of it', ''],
    ['a package whose name begins likewise', `import { x } from '@app/database-tools';`],
  ])('adds it to an application that imports %s', async (_what, line) => {
    const tree = await bench.run('nest-add', monorepo(line), OPTIONS);
    expect(tree.readText('apps/shop/src/app.module.ts')).toContain('imports: [PoolingModule.forRoot()]');
    expect(tree.readText('libs/database/src/database.module.ts')).toBe(SHARED);
  });

  it('survives libraries that import each other', async () => {
    const files = { 'libs/database/src/index.ts': `import '@app/common';\nexport * from './database.module';\n` };
    await bench.run('nest-add', monorepo(`import { DatabaseModule } from '@app/common';`, files), OPTIONS);
    expect(bench.said).toContain('libs/database/src/database.module.ts: PoolingModule is imported');
  });
});
