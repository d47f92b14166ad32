import ts from 'typescript';
import type { UnitTestTree } from '@angular-devkit/schematics/testing/index.js';
import { APP_MODULE, MAIN, project, Workbench } from './workbench.js';

const HOOKS = 'app.enableShutdownHooks([], { useProcessExit: true });';

let bench: Workbench;
beforeAll(() => {
  bench = new Workbench();
});
afterAll(() => bench[Symbol.dispose]());

async function addTo(files: Readonly<Record<string, string>>, options: object = {}): Promise<UnitTestTree> {
  const tree = await bench.run('nest-add', project('11.1.20', files), options);
  for (const file of tree.files.filter((each) => /^\/src\/.*\.ts$/.test(each))) {
    const { diagnostics } = ts.transpileModule(tree.readText(file), { reportDiagnostics: true });
    expect(diagnostics, tree.readText(file)).toEqual([]);
  }
  return tree;
}

const occurrences = (text: string, part: string): number => text.split(part).length - 1;

describe('nest add sees that the module is imported, however it is written', () => {
  it.each([
    ['named', `import { PoolingModule } from 'nestjs-pooling';`, 'PoolingModule.forRoot()'],
    ['under another name', `import { PoolingModule as Pools } from 'nestjs-pooling';`, 'Pools.forRoot()'],
    ['as a namespace', `import * as pooling from 'nestjs-pooling';`, 'pooling.PoolingModule.forRoot()'],
    ['as a namespace, by strings', `import * as pooling from 'nestjs-pooling';`, `pooling['PoolingModule'].forRoot()`],
    ['with require', `import pooling = require('nestjs-pooling');`, 'pooling.PoolingModule.forRootAsync({})'],
    ['as CommonJS has it', `import pooling from 'nestjs-pooling';`, 'pooling.PoolingModule.forRoot()'],
    ['with a method by a string', `import { PoolingModule } from 'nestjs-pooling';`, `PoolingModule['forRoot']()`],
    ['with a cast', `import { PoolingModule } from 'nestjs-pooling';`, '(PoolingModule as any).forRoot()'],
  ])('%s', async (_how, line, call) => {
    const text = APP_MODULE.replace('\n', `\n${line}\n`).replace('imports: []', `imports: [${call}]`);
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toBe(text);
    expect(bench.said).toContain('src/app.module.ts: PoolingModule is imported');
  });

  describe('by way of files of the project that export it again', () => {
    it.each([
      ['by its name', `export { PoolingModule } from 'nestjs-pooling';`, 'PoolingModule'],
      ['under another name', `export { PoolingModule as Pools } from 'nestjs-pooling';`, 'Pools'],
      ['with all the rest', `export * from 'nestjs-pooling';\nexport * from '@nestjs/config';`, 'PoolingModule'],
      [
        'after an import',
        `import { PoolingModule } from 'nestjs-pooling';\nexport { PoolingModule };`,
        'PoolingModule',
      ],
      ['as default', `import { PoolingModule } from 'nestjs-pooling';\nexport default PoolingModule;`, 'default'],
    ])('%s', async (_how, barrel, exported) => {
      const local = exported === 'default' ? 'Pools' : exported;
      const line = `import ${exported === 'default' ? local : `{ ${local} }`} from './infrastructure';`;
      const text = APP_MODULE.replace('\n', `\n${line}\n`).replace('imports: []', `imports: [${local}.forRoot()]`);
      const tree = await addTo({
        'src/app.module.ts': text,
        'src/infrastructure/index.ts': `export * from './pools';\nexport { default } from './pools';\n`,
        'src/infrastructure/pools.ts': `${barrel}\n`,
      });
      expect(tree.readText('src/app.module.ts')).toBe(text);
      expect(bench.said).toContain('src/app.module.ts: PoolingModule is imported');
    });

    it.each([
      ['a path of tsconfig.json', `{ "paths": { "@shop/*": ["./src/shared/*"] } }`, '@shop/pools'],
      ['a path for one file', `{ "paths": { "#pools": ["src/shared/pools.ts"] } }`, '#pools'],
      ['its baseUrl', `{ "baseUrl": "./" }`, 'src/shared/pools'],
    ])('found by %s', async (_how, compilerOptions, specifier) => {
      const line = `import * as shared from '${specifier}';`;
      const call = 'shared.PoolingModule.forRoot()';
      const text = APP_MODULE.replace('\n', `\n${line}\n`).replace('imports: []', `imports: [${call}]`);
      const files = { 'src/app.module.ts': text, 'src/shared/pools.ts': `export * from 'nestjs-pooling';\n` };
      const tree = await addTo({ ...files, 'tsconfig.json': `{ "compilerOptions": ${compilerOptions} }` });
      expect(tree.readText('src/app.module.ts')).toBe(text);
    });

    it('and a client that is registered so is found, too', async () => {
      const line = `import { PoolingModule } from './pools';`;
      const call = `PoolingModule.forHttpClient({ name: 'carrier' })`;
      const text = APP_MODULE.replace('\n', `\n${line}\n`).replace('imports: []', `imports: [${call}]`);
      const files = { 'src/app.module.ts': text, 'src/pools.ts': `export { PoolingModule } from 'nestjs-pooling';\n` };
      await bench.run('http-client', project('11.1.20', files), { name: 'carrier' });
      expect(bench.said).toContain('the client carrier is registered');
    });

    it.each([
      ['another package’s', `export { PoolingModule } from '@shop/pooling';`],
      ['a class of its own', 'export class PoolingModule {}'],
      ['files that export each other', `export * from './app.module';`],
    ])('but not where it is %s', async (_whose, barrel) => {
      const line = `import { PoolingModule } from './pools';`;
      const text = APP_MODULE.replace('\n', `\n${line}\n`).replace('imports: []', 'imports: [PoolingModule.forRoot()]');
      const tree = await addTo({ 'src/app.module.ts': text, 'src/pools.ts': `${barrel}\n` });
      expect(tree.readText('src/app.module.ts')).toContain('NestPoolingModule.forRoot()]');
    });
  });

  it('but not where only its types are', async () => {
    const line = `import type * as pooling from 'nestjs-pooling';`;
    const tree = await addTo({ 'src/app.module.ts': APP_MODULE.replace('\n', `\n${line}\n`) });
    expect(tree.readText('src/app.module.ts')).toContain('imports: [PoolingModule.forRoot()]');
  });

  it('and takes the namespace that is there', async () => {
    const line = `import * as pooling from 'nestjs-pooling';`;
    const tree = await addTo({ 'src/app.module.ts': APP_MODULE.replace('\n', `\n${line}\n`) });
    expect(tree.readText('src/app.module.ts')).toContain('imports: [pooling.PoolingModule.forRoot()]');
    expect(occurrences(tree.readText('src/app.module.ts'), 'nestjs-pooling')).toBe(1);
  });

  it('and finds ConfigModule in a namespace', async () => {
    const line = `import * as config from '@nestjs/config';`;
    const text = APP_MODULE.replace('\n', `\n${line}\n`).replace('[]', '[config.ConfigModule.forRoot()]');
    const added = (await addTo({ 'src/app.module.ts': text })).readText('src/app.module.ts');
    expect(added).toContain('imports: [config.ConfigModule],');
    expect(added).toContain('inject: [config.ConfigService],');
  });
});

describe('nest add finds where the application is made', () => {
  it.each([
    ['under another name', `import { NestFactory as Factory } from '@nestjs/core';`, 'Factory.create(AppModule)'],
    ['in a namespace', `import * as core from '@nestjs/core';`, 'core.NestFactory.create(AppModule)'],
    ['with require', `import core = require('@nestjs/core');`, 'core.NestFactory.create(AppModule)'],
    ['by a string', `import { NestFactory } from '@nestjs/core';`, `NestFactory['create'](AppModule)`],
    [
      'with a type in front',
      `import { NestFactory } from '@nestjs/core';`,
      '<INestApplication>(await NestFactory.create(AppModule))',
    ],
    ['with a type behind', `import { NestFactory } from '@nestjs/core';`, 'NestFactory.create(AppModule as any)'],
  ])('%s', async (_how, line, call) => {
    const made = call.includes('await') ? call : `await ${call}`;
    const main = `${line}\nimport { AppModule } from './app.module';\n\nconst app = ${made};\nawait app.listen(3000);\n`;
    const tree = await addTo({ 'src/main.ts': main });
    expect(tree.readText('src/main.ts')).toBe(main.replace(';\nawait app', `;\n${HOOKS}\nawait app`));
    expect(tree.readText('src/app.module.ts')).toContain('imports: [PoolingModule.forRoot()]');
  });
});

describe('nest add finds the root module', () => {
  const root = (name: string): string => APP_MODULE.replace('AppModule', name);
  const main = (line: string, module: string): string =>
    MAIN.replace(/import \{ AppModule.*/, line).replace('(AppModule)', `(${module})`);
  const other = `import { Module } from '@nestjs/common';\n\n@Module({})\nexport class AppModuleOfTests {}\n`;
  const call = 'imports: [PoolingModule.forRoot()]';

  it.each([
    ['under another name', `import { AppModule as Root } from './app.module';`, 'Root'],
    ['in a namespace', `import * as app from './app.module';`, 'app.AppModule'],
    ['in a namespace, with options', `import * as app from './app.module';`, 'app.AppModule.register({})'],
    ['in another quotation', 'import { AppModule as Root } from "./app.module";', 'Root'],
    ['by a path of tsconfig.json', `import { AppModule as Root } from '@/app.module';`, 'Root'],
  ])('%s', async (_how, line, module) => {
    const tree = await addTo({ 'src/aaa.ts': other, 'src/main.ts': main(line, module) });
    expect(tree.readText('src/app.module.ts')).toContain(call);
    expect(tree.readText('src/aaa.ts')).toBe(other);
  });

  it.each([
    ['export default class AppModule'],
    ['export default class'],
    ['@Global()\nexport default class AppModule'],
  ])('as the default export: %s', async (head) => {
    const text = APP_MODULE.replace('export class AppModule', head);
    const tree = await addTo({
      'src/app.module.ts': text,
      'src/main.ts': main(`import Root from './app.module';`, 'Root'),
    });
    expect(tree.readText('src/app.module.ts')).toContain(call);
  });

  it('as the default export below the class', async () => {
    const text = `${root('ShopModule').replace('export ', '')}export default ShopModule;\n`;
    const tree = await addTo({
      'src/app.module.ts': text,
      'src/main.ts': main(`import App from './app.module';`, 'App'),
    });
    expect(tree.readText('src/app.module.ts')).toContain(call);
  });

  it.each([
    ['all of its file', `export * from './shop.module';`, 'ShopModule'],
    ['it by name', `export { ShopModule } from './shop.module';`, 'ShopModule'],
    ['it under another name', `export { ShopModule as AppModule } from './shop.module';`, 'AppModule'],
    ['it after an import', `import { ShopModule } from './shop.module';\nexport { ShopModule as Root };`, 'Root'],
    ['it as default', `export { ShopModule as default } from './shop.module';`, 'default'],
  ])('behind the index.ts of a folder, which exports %s', async (_how, index, exported) => {
    const line = exported === 'default' ? `import Root from './app';` : `import { ${exported} as Root } from './app';`;
    const tree = await addTo({
      'src/app/index.ts': `${index}\n`,
      'src/app/shop.module.ts': root('ShopModule'),
      'src/aaa/shop.module.ts': root('ShopModule'),
      'src/main.ts': main(line, 'Root'),
    });
    expect(tree.readText('src/app/shop.module.ts')).toContain(call);
    expect(tree.readText('src/aaa/shop.module.ts')).not.toContain('Pooling');
  });

  it('in the file that makes the application, not in one with a longer name', async () => {
    const text = `import { Module } from '@nestjs/common';\n${MAIN.replace(/import \{ AppModule.*\n/, '')}\n@Module({ imports: [] })\nclass AppModule {}\n`;
    const tree = await addTo({ 'src/aaa.ts': other, 'src/app.module.ts': root('AppModule'), 'src/main.ts': text });
    expect(tree.readText('src/main.ts')).toContain('@Module({ imports: [PoolingModule.forRoot()] })\nclass AppModule');
    expect(tree.readText('src/main.ts')).toContain(HOOKS);
    expect(tree.readText('src/app.module.ts')).toBe(root('AppModule'));
  });

  it('in a file that has another class whose name begins like its own', async () => {
    const text = `import { Module } from '@nestjs/common';\n\n@Module({})\nexport class AppModuleOfTests {}\n`;
    const index = `export { AppModule } from './root';\n`;
    const tree = await addTo({ 'src/app.module.ts': `${text}${index}`, 'src/root.ts': root('AppModule') });
    expect(tree.readText('src/root.ts')).toContain(call);
    expect(tree.readText('src/app.module.ts')).toBe(`${text}${index}`);
  });
});

describe('nest add changes metadata that says its type', () => {
  const module = (metadata: string): string =>
    `import { Module } from '@nestjs/common';\n\n@Module(${metadata})\nexport class AppModule {}\n`;
  const call = 'PoolingModule.forRoot()';

  it.each([
    ['satisfies', '{ imports: [A] } satisfies ModuleMetadata', `{ imports: [A, ${call}] } satisfies ModuleMetadata`],
    ['as', '{ imports: [A] } as ModuleMetadata', `{ imports: [A, ${call}] } as ModuleMetadata`],
    ['a type in front', '<ModuleMetadata>{ imports: [A] }', `<ModuleMetadata>{ imports: [A, ${call}] }`],
    ['parentheses', '({ imports: [A] })', `({ imports: [A, ${call}] })`],
    ['all of them', '(<any>{ imports: [A] } as B)!', `(<any>{ imports: [A, ${call}] } as B)!`],
    ['an array with a type', '{ imports: [A] as const }', `{ imports: [A, ${call}] as const }`],
    ['an array in parentheses', '{ imports: ([]) }', `{ imports: ([${call}]) }`],
    ['a computed name', `{ ['imports']: [A] }`, `{ ['imports']: [A, ${call}] }`],
    ['a computed name in backticks', '{ [`imports`]: [A] }', `{ [\`imports\`]: [A, ${call}] }`],
    ['another computed name', `{ ['providers']: [A] }`, `{ imports: [${call}], ['providers']: [A] }`],
  ])('with %s', async (_form, before, after) => {
    const tree = await addTo({ 'src/app.module.ts': module(before) });
    const line = `common';\nimport { PoolingModule } from 'nestjs-pooling';\n`;
    expect(tree.readText('src/app.module.ts')).toBe(module(after).replace("common';\n", line));
  });

  it('in a variable', async () => {
    const text = `import { Module, type ModuleMetadata } from '@nestjs/common';\n\nconst root = { imports: [A] } satisfies ModuleMetadata;\n\n@Module(root as ModuleMetadata)\nexport class AppModule {}\n`;
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toContain(`const root = { imports: [A, ${call}] } satisfies`);
  });

  it.each([
    [`import { Module as NestModule } from '@nestjs/common';`, 'NestModule'],
    [`import * as nest from '@nestjs/common';`, 'nest.Module'],
    [`import nest = require('@nestjs/common');`, 'nest.Module'],
  ])('of a decorator that is imported by %s', async (line, decorator) => {
    const text = `${line}\n\n@${decorator}({ imports: [] })\nexport class AppModule {}\n`;
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toContain(`@${decorator}({ imports: [${call}] })`);
  });

  it('but not where a computed name may be that of the imports', async () => {
    const text = module('{ [NAME]: [A] }');
    const tree = await addTo({ 'src/app.module.ts': text });
    expect(tree.readText('src/app.module.ts')).toBe(text);
    expect(bench.said).toContain("its imports can't be changed safely");
  });
});

describe('files of Windows', () => {
  const windows = (text: string): string => text.replaceAll('\n', '\r\n');

  it.each([
    ['an array that gets a line for each element', 'imports: [A.forRoot({\n    a: 1,\n  }), B]'],
    ['imports from elsewhere', 'imports: modules({\n    a: 1,\n  })'],
    ['an array of several lines', 'imports: [\n    A,\n  ]'],
    ['a line that becomes too long', 'imports: [AnimalsModule, BirdsModule.forRoot(), CatsModule, DogsModule]'],
  ])('keep their line ends: %s', async (_what, imports) => {
    const tree = await addTo({ 'src/app.module.ts': windows(APP_MODULE.replace('imports: []', imports)) });
    const text = tree.readText('src/app.module.ts');
    expect(text).toContain('PoolingModule.forRoot()');
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
  });

  it('may begin with a byte order mark', async () => {
    const marked = Object.entries(project('11.1.20', { '.env.example': 'DATABASE_URL=postgres://db/x\n' })).map(
      ([path, text]) => [path, `\uFEFF${text}`] as const,
    );
    const tree = await addTo(Object.fromEntries(marked));
    for (const file of ['package.json', 'src/app.module.ts', 'src/main.ts'])
      expect(tree.read(file)!.toString()).toMatch(/^\uFEFF[^\uFEFF]*$/);
    expect(tree.read('package.json')!.toString()).toMatch(/^\uFEFF\{\n {2}"name"[^]*"pg": "\^8/);
    expect(tree.readText('src/app.module.ts')).toContain('imports: [PoolingModule.forRoot()]');
    expect(tree.readText('src/main.ts')).toContain(HOOKS);
    expect(bench.said).toContain('.env.example: DATABASE_URL is there');
  });
});
