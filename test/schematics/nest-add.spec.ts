import ts from 'typescript';
import type { UnitTestTree } from '@angular-devkit/schematics/testing/index.js';
import { packagesFor } from '#pooling/schematics/packages/needed-packages.js';
import { APP_MODULE, MAIN, project, treeOf, Workbench } from './workbench.js';

const HOOKS = 'app.enableShutdownHooks([], { useProcessExit: true });';
const IMPORT = `import { PoolingModule } from 'nestjs-pooling';`;

let bench: Workbench;
beforeAll(() => {
  bench = new Workbench();
});
afterAll(() => bench[Symbol.dispose]());

function json(tree: UnitTestTree, path: string): Record<string, Record<string, string>> {
  return JSON.parse(tree.readText(path)) as Record<string, Record<string, string>>;
}

function syntaxErrors(text: string): string[] {
  const { diagnostics } = ts.transpileModule(text, { reportDiagnostics: true });
  return (diagnostics ?? []).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

async function addTo(files: Readonly<Record<string, string>>, options: object = {}): Promise<UnitTestTree> {
  const tree = await bench.run('nest-add', project('11.1.20', files), options);
  const sources = tree.files.filter((file) => /^\/(?:src|apps)\/.*\.ts$/.test(file));
  for (const file of sources) expect(syntaxErrors(tree.readText(file)), tree.readText(file)).toEqual([]);
  return tree;
}

describe.each([
  ['11.1.20', '^11.0.0', ''],
  ['12.5.1', '^12.0.0', '.js'],
])('nest add in the default project of Nest %s', (nest, terminus, end) => {
  it('adds packages, module, shutdown hooks and DATABASE_URL, and says so', async () => {
    const tree = await bench.run('nest-add', project(nest));
    expect(json(tree, 'package.json')).toMatchObject({
      dependencies: {
        pg: '^8.16.0',
        '@nestjs/terminus': terminus,
        'prom-client': '^15.0.0',
        '@willsoto/nestjs-prometheus': '^6.0.0',
      },
      devDependencies: { '@types/pg': '^8.15.0' },
    });
    expect(tree.readText('src/app.module.ts')).toBe(
      `import { Module } from '@nestjs/common';
${IMPORT}
import { AppController } from './app.controller${end}';
import { AppService } from './app.service${end}';

@Module({
  imports: [PoolingModule.forRoot()],
  controllers: [AppController],
  providers: [AppService],
})
export class AppModule {}
`,
    );
    expect(tree.readText('src/main.ts')).toContain(`create(AppModule);\n  ${HOOKS}\n  await app.listen(`);
    expect(tree.readText('.env.example')).toBe('DATABASE_URL=postgres://postgres:postgres@localhost:5432/shop\n');
    expect(bench.said).toMatch(
      /changed:\n {2}package\.json: kysely .*\n {2}src\/app\.module\.ts: .*\n {2}src\/main\.ts: .*\n {2}\.env\.example: DATABASE_URL\n/,
    );
    expect(bench.runner.tasks).toMatchObject([{ name: 'node-package', options: { command: 'install' } }]);
  });

  it('changes nothing when it is run again, and says what is there', async () => {
    const first = await bench.run('nest-add', project(nest));
    const before = Object.fromEntries(first.files.map((file) => [file, first.readText(file)]));
    const second = await bench.run('nest-add', first);
    expect(Object.fromEntries(second.files.map((file) => [file, second.readText(file)]))).toEqual(before);
    expect(bench.runner.tasks).toEqual([]);
    expect(bench.said).toContain('nestjs-pooling changed nothing.\nLeft alone:\n');
    for (const what of ['PoolingModule is imported', 'enableShutdownHooks() is called', 'DATABASE_URL is there'])
      expect(bench.said).toContain(what);
  });
});

describe('the root module keeps its form', () => {
  const module = (metadata: string): string =>
    `import { Module } from '@nestjs/common';\n\n@Module(${metadata})\nexport class AppModule {}\n`;
  const call = 'PoolingModule.forRoot()';

  it.each([
    ['no metadata', '{}', `{\n  imports: [${call}],\n}`],
    ['no imports', `{\n  providers: [A],\n}`, `{\n  imports: [${call}],\n  providers: [A],\n}`],
    ['no imports, in one line', '{ providers: [A] }', `{ imports: [${call}], providers: [A] }`],
    [
      'no imports, and a comment first',
      `{\n  // ours\n  providers: [A],\n}`,
      `{\n  imports: [${call}],\n  // ours\n  providers: [A],\n}`,
    ],
    ['no imports, four spaces', `{\n    providers: [A],\n}`, `{\n    imports: [${call}],\n    providers: [A],\n}`],
    ['no imports, tabs', `{\n\tproviders: [A],\n}`, `{\n\timports: [${call}],\n\tproviders: [A],\n}`],
    ['an empty array', '{ imports: [] }', `{ imports: [${call}] }`],
    [
      'an empty array with a comment',
      `{\n  imports: [\n    // none yet\n  ],\n}`,
      `{\n  imports: [${call}\n    // none yet\n  ],\n}`,
    ],
    ['one line', '{ imports: [A] }', `{ imports: [A, ${call}] }`],
    ['one line with a comma at its end', '{ imports: [A,] }', `{ imports: [A, ${call},] }`],
    [
      'one line that becomes too long',
      `{\n  imports: [AnimalsModule, BirdsModule.forRoot(), CatsModule, DogsModule],\n}`,
      `{\n  imports: [\n    AnimalsModule,\n    BirdsModule.forRoot(),\n    CatsModule,\n    DogsModule,\n    ${call},\n  ],\n}`,
    ],
    [
      'several lines',
      `{\n  imports: [\n    A,\n    B\n  ],\n}`,
      `{\n  imports: [\n    A,\n    B,\n    ${call}\n  ],\n}`,
    ],
    [
      'several lines with a comma at their end',
      `{\n  imports: [\n    A,\n    B,\n  ],\n}`,
      `{\n  imports: [\n    A,\n    B,\n    ${call},\n  ],\n}`,
    ],
    [
      'a comment behind the last',
      `{\n  imports: [\n    A, // the first\n  ],\n}`,
      `{\n  imports: [\n    A, // the first\n    ${call},\n  ],\n}`,
    ],
    [
      'a comment and no comma',
      `{\n  imports: [\n    A // the first\n  ],\n}`,
      `{\n  imports: [\n    A, // the first\n    ${call}\n  ],\n}`,
    ],
    ['an array from elsewhere', '{ imports: MODULES }', `{ imports: [...(MODULES), ${call}] }`],
    ['shorthand', '{ imports }', `{ imports: [...imports, ${call}] }`],
    ['a quoted name', `{ 'imports': [A] }`, `{ 'imports': [A, ${call}] }`],
    ['a spread within the array', '{ imports: [...MODULES] }', `{ imports: [...MODULES, ${call}] }`],
  ])('with %s', async (_form, before, after) => {
    const tree = await addTo({ 'src/app.module.ts': module(before) });
    expect(tree.readText('src/app.module.ts')).toBe(module(after).replace("common';\n", `common';\n${IMPORT}\n`));
  });

  it('with Windows’ line ends', async () => {
    const windows = (text: string): string => text.replaceAll('\n', '\r\n');
    const tree = await addTo({
      'src/app.module.ts': windows(APP_MODULE),
      'src/main.ts': windows(MAIN),
      '.env.example': windows('A=1\n'),
    });
    for (const file of ['src/app.module.ts', 'src/main.ts', '.env.example'])
      expect(tree.readText(file)).not.toMatch(/[^\r]\n/);
    expect(tree.readText('src/app.module.ts')).toContain(call);
  });

  it('with double quotes and without semicolons', async () => {
    const tree = await addTo({
      'src/app.module.ts': `import { Module } from "@nestjs/common"\n\n@Module({ imports: [] })\nexport class AppModule {}\n`,
      'src/main.ts': `import { NestFactory } from "@nestjs/core"\nimport { AppModule } from "./app.module"\n\nconst app = await NestFactory.create(AppModule)\nawait app.listen(3000)\n`,
    });
    expect(tree.readText('src/app.module.ts')).toContain(`common"\nimport { PoolingModule } from "nestjs-pooling"\n\n`);
    expect(tree.readText('src/main.ts')).toContain(`(AppModule)\n${HOOKS.replace(';', '')}\nawait`);
  });

  it('with decorators and comments all around it', async () => {
    const text = `/* The whole. */
import { Global, Module } from '@nestjs/common'; // Nest
import { InjectDb } from 'nestjs-pooling';

/** @Module({ imports: [] }) in a comment is none */
@Global()
// the root
@Module(/* what */ {
  /* nothing but this: */
  imports: [/* none */],
})
@Other()
export class AppModule {}
`;
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toBe(
      text.replace('{ InjectDb }', '{ InjectDb, PoolingModule }').replace('[/* none */]', `[${call}/* none */]`),
    );
  });

  it('with metadata in a variable, and other modules in the same file', async () => {
    const text = `import { Module, type ModuleMetadata } from '@nestjs/common';

@Module({ imports: [] })
class OtherModule {}

const root: ModuleMetadata = { imports: [OtherModule] };

@Module(root)
export class AppModule {}
`;
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toContain(`ModuleMetadata = { imports: [OtherModule, ${call}] };`);
    expect(tree.readText('src/app.module.ts')).toContain('@Module({ imports: [] })\nclass OtherModule');
  });

  it('with a PoolingModule of its own', async () => {
    const text = `import { Module } from '@nestjs/common';\nimport { PoolingModule } from './pooling.module';\n\n@Module({ imports: [PoolingModule] })\nexport class AppModule {}\n`;
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toContain(
      `import { PoolingModule as NestPoolingModule } from 'nestjs-pooling';`,
    );
    expect(tree.readText('src/app.module.ts')).toContain('imports: [PoolingModule, NestPoolingModule.forRoot()]');
  });

  it('when what is spread may bring imports: it is left alone, and the user is told', async () => {
    const text = module('{ ...shared, providers: [A] }');
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toBe(text);
    expect(bench.said).toContain(
      `src/app.module.ts: its imports can't be changed safely. Add PoolingModule.forRoot() to the imports of the root module`,
    );
  });

  it('when the module is imported by another of the application’s files, under another name', async () => {
    const shared = `import { Module } from '@nestjs/common';\nimport { PoolingModule as Pools } from 'nestjs-pooling';\n\n@Module({ imports: [Pools.forRootAsync({})] })\nexport class SharedModule {}\n`;
    const tree = await addTo({ 'src/shared/shared.module.ts': shared });
    expect(tree.readText('src/app.module.ts')).toBe(APP_MODULE);
    expect(bench.said).toContain('src/shared/shared.module.ts: PoolingModule is imported');
  });

  it('with @nestjs/config, the URL comes from its service', async () => {
    const text = `import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';

@Module({
  imports: [ConfigModule.forRoot({ isGlobal: true })],
})
export class AppModule {}
`;
    const tree = await addTo({ 'src/app.module.ts': text }, { http: false, console: true });
    expect(tree.readText('src/app.module.ts')).toBe(`import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
${IMPORT}

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true }),
    PoolingModule.forRootAsync({
      imports: [ConfigModule],
      inject: [ConfigService],
      useFactory: (config: ConfigService) => ({
        database: { url: config.getOrThrow<string>('DATABASE_URL') },
        http: false,
      }),
      console: { path: 'pools' },
    }),
  ],
})
export class AppModule {}
`);
  });
});

describe('the root module is found', () => {
  const module = `import { Module } from '@nestjs/common';\n\n@Module({})\nexport class ShopModule {}\n`;
  const main = (specifier: string): string =>
    MAIN.replaceAll('AppModule', 'ShopModule').replace('./app.module', specifier);
  const others = { 'src/app.module.ts': APP_MODULE };

  it.each([
    ['./shop/shop.module', 'src/shop/shop.module.ts'],
    ['./shop/shop.module.js', 'src/shop/shop.module.ts'],
    ['./shop', 'src/shop/root.ts'],
    ['@/shop/shop.module', 'src/shop/shop.module.ts'],
    ['src/shop/shop.module', 'src/shop/shop.module.ts'],
  ])('where main.ts imports it from %s', async (specifier, file) => {
    const tree = await addTo({ ...others, 'src/main.ts': main(specifier), [file]: module });
    expect(tree.readText(file)).toContain('imports: [PoolingModule.forRoot()]');
    expect(tree.readText('src/app.module.ts')).toBe(APP_MODULE);
  });

  it('where it takes options: AppModule.register({})', async () => {
    const tree = await addTo({
      'src/main.ts': MAIN.replace('create(AppModule)', 'create(AppModule.register({ a: 1 }), { bufferLogs: true })'),
    });
    expect(tree.readText('src/app.module.ts')).toContain('imports: [PoolingModule.forRoot()]');
  });

  it('where it stands in main.ts itself: both changes are made there', async () => {
    const text = `import { Module } from '@nestjs/common';\nimport { NestFactory } from '@nestjs/core';\n\n@Module({})\nclass AppModule {}\n\nconst app = await NestFactory.create(AppModule);\nawait app.listen(3000);\n`;
    const tree = await addTo({ 'src/main.ts': text, 'src/app.module.ts': '' });
    expect(tree.readText('src/main.ts')).toContain('imports: [PoolingModule.forRoot()]');
    expect(tree.readText('src/main.ts')).toContain(`(AppModule);\n${HOOKS}\nawait`);
  });

  it('where --module says', async () => {
    const tree = await addTo({ ...others, 'src/root.ts': module }, { module: 'src/root.ts' });
    expect(tree.readText('src/root.ts')).toContain('imports: [PoolingModule.forRoot()]');
  });

  it('in the project of a monorepo', async () => {
    const files = {
      'nest-cli.json': `{
        // with a comment
        "monorepo": true, "sourceRoot": "apps/web/src",
        "projects": { "web": { "sourceRoot": "apps/web/src" }, "jobs": { "sourceRoot": "apps/jobs/src", "entryFile": "start" } }
      }`,
      'apps/web/src/main.ts': MAIN,
      'apps/web/src/app.module.ts': APP_MODULE,
      'apps/jobs/src/start.ts': MAIN,
      'apps/jobs/src/app.module.ts': APP_MODULE,
    };
    const tree = await addTo(files, { sourceRoot: 'apps/jobs/src', project: 'jobs' });
    expect(tree.readText('apps/jobs/src/app.module.ts')).toContain('PoolingModule.forRoot()');
    expect(tree.readText('apps/jobs/src/start.ts')).toContain(HOOKS);
    expect(tree.readText('apps/web/src/app.module.ts')).toBe(APP_MODULE);
    expect(tree.readText('apps/web/src/main.ts')).toBe(MAIN);
  });

  it('nowhere: the user is told, and the rest is done', async () => {
    const tree = await addTo({ 'src/main.ts': '', 'src/app.module.ts': '' });
    expect(bench.said).toContain(
      "The root module wasn't found. Add PoolingModule.forRoot() to the imports of the root module, or say --module <file>",
    );
    expect(bench.said).toContain(
      'No NestFactory.create(…) was found. Call app.enableShutdownHooks() before the application listens',
    );
    expect(json(tree, 'package.json')['dependencies']).toHaveProperty('pg');
  });
});

describe('shutdown hooks come behind the place where the application is made', () => {
  const main = (body: string): string =>
    `import { NestFactory } from '@nestjs/core';\nimport { AppModule } from './app.module';\n\n${body}\n`;

  it.each([
    ['let app = await NestFactory.create(AppModule);', `let app = await NestFactory.create(AppModule);\n${HOOKS}`],
    [
      'const app = await NestFactory.create<NestFastifyApplication>(\n  AppModule,\n  new FastifyAdapter(),\n);',
      `const app = await NestFactory.create<NestFastifyApplication>(\n  AppModule,\n  new FastifyAdapter(),\n);\n${HOOKS}`,
    ],
    [
      'const app = (await NestFactory.create(AppModule)) as NestExpressApplication; // HTTP',
      `const app = (await NestFactory.create(AppModule)) as NestExpressApplication; // HTTP\n${HOOKS}`,
    ],
    [
      'let server: INestApplication;\nserver = await NestFactory.create(AppModule);',
      `let server: INestApplication;\nserver = await NestFactory.create(AppModule);\n${HOOKS.replace('app', 'server')}`,
    ],
    [
      'NestFactory.create(AppModule).then((app) => {\n  return app.listen(3000);\n});',
      `NestFactory.create(AppModule).then((app) => {\n  ${HOOKS}\n  return app.listen(3000);\n});`,
    ],
    [
      'try {\n  const app = await NestFactory.create(AppModule);\n} catch {}',
      `try {\n  const app = await NestFactory.create(AppModule);\n  ${HOOKS}\n} catch {}`,
    ],
  ])('%s', async (before, after) => {
    const tree = await addTo({ 'src/main.ts': main(before) });
    expect(tree.readText('src/main.ts')).toBe(main(after));
  });

  it.each([
    'await (await NestFactory.create(AppModule)).listen(3000);',
    'NestFactory.create(AppModule).then((app) => app.listen(3000));',
    'export const make = () => NestFactory.create(AppModule);',
    'const app = NestFactory.create(AppModule);',
    'if (primary) app = await NestFactory.create(AppModule);',
  ])('%s: it has no place for them, and the user is told', async (body) => {
    const tree = await addTo({ 'src/main.ts': main(body) });
    expect(tree.readText('src/main.ts')).toBe(main(body));
    expect(bench.said).toContain(
      'src/main.ts: the application has no name there. Call app.enableShutdownHooks() before the application listens',
    );
  });

  it('once, wherever they are called', async () => {
    const text = main('const app = await NestFactory.create(AppModule);\nconfigure(app).enableShutdownHooks();');
    const tree = await addTo({ 'src/main.ts': text });
    expect(tree.readText('src/main.ts')).toBe(text);
  });

  it('in the file that main.ts leads to', async () => {
    const text = main('export async function bootstrap() {\n  const app = await NestFactory.create(AppModule);\n}');
    const tree = await addTo({ 'src/main.ts': `import { bootstrap } from './bootstrap';\n`, 'src/bootstrap.ts': text });
    expect(tree.readText('src/bootstrap.ts')).toContain(`(AppModule);\n  ${HOOKS}\n}`);
  });

  it('without an option that Nest doesn’t have before 11.1.10', async () => {
    const tree = await bench.run('nest-add', project('11.1.9'));
    expect(tree.readText('src/main.ts')).toContain('\n  app.enableShutdownHooks();\n');
  });

  it('with that option where Nest is installed outside the project’s folder, as with Yarn’s PnP', async () => {
    const { 'node_modules/@nestjs/core/package.json': _, ...files } = project('11.0.1');
    const tree = await bench.run('nest-add', files);
    expect(tree.readText('src/main.ts')).toContain(HOOKS);
  });

  it.each(['createApplicationContext', 'createMicroservice'])('of %s, which has no routes', async (method) => {
    const tree = await addTo({ 'src/main.ts': MAIN.replace('.create(', `.${method}(`) });
    expect(tree.readText('src/main.ts')).toContain(HOOKS);
    expect(tree.readText('src/app.module.ts')).toContain('PoolingModule.forRoot({ health: false, metrics: false })');
    expect(json(tree, 'package.json')['dependencies']).not.toHaveProperty('@nestjs/terminus');
    expect(bench.said).toContain('no HTTP server');
  });
});

describe('options', () => {
  it.each([
    ['database', 'database: false', ['kysely', 'pg']],
    ['http', 'http: false', ['undici']],
    ['health', 'health: false', ['@nestjs/terminus']],
    ['metrics', 'metrics: false', ['@willsoto/nestjs-prometheus', 'prom-client']],
  ])('--no-%s: %s, and what it needs isn’t installed', async (part, text, packages) => {
    const tree = await addTo({}, { [part]: false });
    expect(tree.readText('src/app.module.ts')).toContain(`PoolingModule.forRoot({ ${text} })`);
    expect(Object.keys(json(tree, 'package.json')['dependencies']!)).not.toEqual(expect.arrayContaining(packages));
    expect(tree.exists('.env.example')).toBe(part !== 'database');
    expect('@types/pg' in json(tree, 'package.json')['devDependencies']!).toBe(part !== 'database');
  });

  it('--no-http as the command line of Nest 12 passes it on: as http', async () => {
    const { argv } = process;
    process.argv = [...argv, '--no-http'];
    try {
      const tree = await addTo({}, { http: true });
      expect(tree.readText('src/app.module.ts')).toContain('PoolingModule.forRoot({ http: false })');
    } finally {
      process.argv = argv;
    }
  });

  it('--skip-install: package.json has the packages, and nothing is installed', async () => {
    const tree = await addTo({}, { skipInstall: true });
    expect(json(tree, 'package.json')['dependencies']).toHaveProperty('pg');
    expect(bench.runner.tasks).toEqual([]);
    expect(bench.said).toContain('Install the packages of package.json');
  });
});

describe('packages', () => {
  const all = { database: true, http: true, health: true, metrics: true };
  const ranges = (surroundings: Partial<Parameters<typeof packagesFor>[1]>): Record<string, string> =>
    Object.fromEntries(
      packagesFor(all, { node: '24.1.0', engines: undefined, nest: 12, isEsm: true, ...surroundings }).map(
        ({ name, range }) => [name, range],
      ),
    );

  it.each([
    [{ node: '20.20.2' }, '^7.30.0', '^0.28.0'],
    [{ node: '22.12.0' }, '^7.30.0', '^0.29.0'],
    [{ node: '22.19.0' }, '^8.0.0', '^0.29.0'],
    [{ node: '24.1.0' }, '^8.0.0', '^0.29.0'],
    [{ node: '24.1.0', isEsm: false }, '^8.0.0', '^0.28.0'],
    [{ node: '24.1.0', engines: '>=20' }, '^7.30.0', '^0.28.0'],
    [{ node: '24.1.0', engines: '^22.20.0 || >=24' }, '^8.0.0', '^0.29.0'],
    [{ node: '20.20.2', engines: '>=24' }, '^7.30.0', '^0.28.0'],
  ])('fit %j', (surroundings, undici, kysely) => {
    expect(ranges(surroundings)).toMatchObject({ undici, kysely });
  });

  it('that are there stay, and those that don’t work are named', async () => {
    const files = project('11.1.20');
    const manifest = JSON.parse(files['package.json']!) as { dependencies: Record<string, string> };
    Object.assign(manifest.dependencies, { undici: '^6.21.0', kysely: '^0.28.2', '@nestjs/terminus': '^11.0.0' });
    const installed = { 'node_modules/@nestjs/terminus/package.json': '{ "version": "12.1.0" }' };
    const tree = await bench.run('nest-add', { ...files, 'package.json': JSON.stringify(manifest), ...installed });
    expect(json(tree, 'package.json')['dependencies']).toMatchObject({
      undici: '^6.21.0',
      kysely: '^0.28.2',
      pg: '^8.16.0',
    });
    expect(bench.said).toContain(`undici ^6.21.0 doesn't work with nestjs-pooling, which takes 7.30 or 8`);
    expect(bench.said).toContain(`@nestjs/terminus 12.1.0 doesn't work with nestjs-pooling, which takes 11`);
    expect(bench.said).toContain('package.json: kysely ^0.28.2 is there\n');
    expect(bench.said).not.toContain(`kysely ^0.28.2 doesn't`);
  });

  it.each([
    [{ 'pnpm-lock.yaml': '' }, 'pnpm'],
    [{ 'yarn.lock': '' }, 'yarn'],
    [{ 'bun.lock': '' }, 'bun'],
    [{ 'package-lock.json': '{}' }, 'npm'],
    [
      { 'package.json': project('11.1.20')['package.json']!.replace('{', '{ "packageManager": "pnpm@10.1.0",') },
      'pnpm',
    ],
  ])('are installed by the project’s own manager: %j', async (files, packageManager) => {
    await addTo(files as Record<string, string>);
    expect(bench.runner.tasks).toMatchObject([{ options: { packageManager } }]);
  });

  it('keep package.json as it was written', async () => {
    const text = project('11.1.20')['package.json']!.replaceAll('  ', '\t').trimEnd();
    const tree = await addTo({ 'package.json': text });
    expect(tree.readText('package.json')).toMatch(/^\{\n\t"name"[^]*\n\}$/);
  });
});

describe('.env.example', () => {
  it.each([
    ['.env.example', 'PORT=3000', 'PORT=3000\nDATABASE_URL='],
    ['.env.example', '# DATABASE_URL= is below\n', '# DATABASE_URL= is below\nDATABASE_URL='],
    ['.env.sample', 'PORT=3000\n', 'PORT=3000\nDATABASE_URL='],
  ])('%s with %j gets DATABASE_URL at its end', async (file, before, after) => {
    const tree = await addTo({ [file]: before });
    expect(tree.readText(file)).toMatch(new RegExp(`^${after}postgres://.*\n$`));
    if (file !== '.env.example') expect(tree.exists('.env.example')).toBe(false);
  });

  it.each(['DATABASE_URL=postgres://db/x\n', '  export DATABASE_URL = x\n'])('that has it stays: %j', async (text) => {
    const tree = await addTo({ '.env.example': text });
    expect(tree.readText('.env.example')).toBe(text);
    expect(bench.said).toContain('.env.example: DATABASE_URL is there');
  });
});

describe('what can’t be worked on is refused', () => {
  it('a folder without package.json', async () => {
    await expect(bench.run('nest-add', treeOf({ 'a.txt': '' }))).rejects.toThrow('There is no package.json here');
  });
});
