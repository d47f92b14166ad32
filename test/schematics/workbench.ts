import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { HostTree } from '@angular-devkit/schematics';
import { SchematicTestRunner, UnitTestTree } from '@angular-devkit/schematics/testing/index.js';
import ts from 'typescript';

const SOURCE = join(import.meta.dirname, '../../libs/pooling/src/schematics');

/** The schematics as the package holds them, and the command line's own engine to run them with. */
export class Workbench {
  private readonly folder = mkdtempSync(join(tmpdir(), 'nestjs-pooling-schematics-'));
  readonly runner: SchematicTestRunner;
  /** What the last run said, and what it ordered to be done afterwards. */
  said = '';

  constructor() {
    writeFileSync(join(this.folder, 'package.json'), '{ "type": "commonjs" }');
    for (const name of readdirSync(SOURCE, { recursive: true }) as string[]) {
      if (!/(?<!\.spec)\.(?:c?ts|json)$/.test(name)) continue;
      const text = readFileSync(join(SOURCE, name), 'utf8');
      const target = join(this.folder, name.replace(/ts$/, 'js'));
      mkdirSync(dirname(target), { recursive: true });
      const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 };
      writeFileSync(target, name.endsWith('.json') ? text : ts.transpileModule(text, { compilerOptions }).outputText);
    }
    this.runner = new SchematicTestRunner('nestjs-pooling', join(this.folder, 'collection.json'));
    this.runner.logger.subscribe(({ message }) => (this.said += `${message}\n`));
  }

  /** Runs one in a project, and gives the project as it is then. */
  async run(
    name: string,
    project: Readonly<Record<string, string>> | UnitTestTree,
    options: object = {},
  ): Promise<UnitTestTree> {
    this.said = '';
    this.runner.tasks.length = 0;
    return this.runner.runSchematic(name, options, project instanceof UnitTestTree ? project : treeOf(project));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function treeOf(files: Readonly<Record<string, string>>): UnitTestTree {
  const tree = new UnitTestTree(new HostTree());
  for (const [path, text] of Object.entries(files)) tree.create(path, text);
  return tree;
}

export const MAIN = `import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module';

async function bootstrap() {
  const app = await NestFactory.create(AppModule);
  await app.listen(process.env.PORT ?? 3000);
}
void bootstrap();
`;

export const APP_MODULE = `import { Module } from '@nestjs/common';
import { AppController } from './app.controller';
import { AppService } from './app.service';

@Module({
  imports: [],
  controllers: [AppController],
  providers: [AppService],
})
export class AppModule {}
`;

/** The default project of a version of Nest, as far as a schematic sees it. */
export function project(nest: string, files: Readonly<Record<string, string>> = {}): Record<string, string> {
  const isEsm = Number(nest.split('.')[0]) >= 12;
  const esm = (text: string): string => (isEsm ? text.replaceAll(/'(\.\/[\w.]+)'/g, `'$1.js'`) : text);
  const manifest = {
    name: 'shop',
    ...(isEsm ? { type: 'module' } : {}),
    dependencies: {
      '@nestjs/common': `^${nest}`,
      '@nestjs/core': `^${nest}`,
      'reflect-metadata': '^0.2.2',
      rxjs: '^7.8.1',
    },
    devDependencies: { '@nestjs/cli': `^${nest}`, typescript: '^5.7.3' },
  };
  return {
    'package.json': `${JSON.stringify(manifest, null, 2)}\n`,
    'nest-cli.json': '{ "collection": "@nestjs/schematics", "sourceRoot": "src" }',
    'node_modules/@nestjs/core/package.json': `{ "version": "${nest}" }`,
    'src/main.ts': esm(MAIN),
    'src/app.module.ts': esm(APP_MODULE),
    ...files,
  };
}
