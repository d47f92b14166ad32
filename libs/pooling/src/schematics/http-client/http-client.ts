import { addToEnvExample } from '../env-example.js';
import { addMissingPackages } from '../packages/add-missing-packages.js';
import { installTask } from '../packages/install.js';
import { Project, type ProjectOptions } from '../project.js';
import { Report } from '../report.js';
import { addImport } from '../source/imports.js';
import { addToMetadata } from '../source/module-metadata.js';
import { fileWithPooling, poolingCallsIn } from '../source/pooling-calls.js';
import type { SourceEdit } from '../source/source-edit.js';
import { folderOf, joinPath, shownPath, type Context, type Rule, type Tree, type TreeFolder } from '../tree.js';
import { loadTypeScript } from '../typescript-package.cjs';
import { LIBRARY, NO_TYPESCRIPT } from '../words.js';
import { clientSource, clientSpecSource } from './templates.js';

/** What `nest g -c nestjs-pooling http-client <name> [path]` takes. */
export interface HttpClientSchematicOptions extends ProjectOptions {
  readonly name: string;
  readonly path?: string;
  readonly flat?: boolean;
  readonly spec?: boolean;
  readonly specFileSuffix?: string;
  readonly skipImport?: boolean;
}

/** `shippingCarrier` and `Shipping carrier` are `shipping-carrier`. */
function kebab(name: string): string {
  return name
    .trim()
    .replaceAll(/([a-z\d])([A-Z])/g, '$1-$2')
    .replaceAll(/[^A-Za-z\d]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .toLowerCase();
}

function pascal(name: string): string {
  return kebab(name).replaceAll(/(?:^|-)(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** The module that stands nearest: in the folder or one above it, as with all of Nest's schematics. */
function nearestModule(tree: Tree, from: string): string | undefined {
  for (let folder: TreeFolder | null = tree.getDir(from); folder; folder = folder.parent) {
    const file = folder.subfiles.find((each) => each.endsWith('.module.ts'));
    if (file !== undefined) return joinPath(folder.path, file);
  }
  return undefined;
}

function relative(from: string, to: string, isEsm: boolean): string {
  const path = to.startsWith(from === '/' ? from : `${from}/`) ? to.slice(from === '/' ? 1 : from.length + 1) : to;
  return `./${path.replace(/\.ts$/, isEsm ? '.js' : '')}`;
}

interface Client {
  readonly name: string;
  readonly className: string;
  readonly variable: string;
  readonly file: string;
}

/** A factory, because the environment may be read from a file only after this module's file was loaded. */
function registration(edit: SourceEdit, name: string, variable: string): string {
  const local = addImport(edit, LIBRARY, 'PoolingModule');
  const lines = [`name: '${name}'`, `useFactory: () => ({ baseUrl: process.env['${variable}'] })`];
  return edit.quoted(`${local}.forHttpClientAsync({\n${lines.map((line) => `${edit.step}${line},\n`).join('')}})`);
}

function register(project: Project, client: Client, report: Report): void {
  const { name, className, variable, file } = client;
  const path = nearestModule(project.tree, folderOf(file));
  const byHand = `Add PoolingModule.forHttpClient({ name: '${name}', … }) to the imports of a module, and ${className} to its providers`;
  if (path === undefined) return report.warn(`No module was found. ${byHand}`);
  const shown = shownPath(path);
  const present = project
    .sourcesWith('forHttpClient')
    .some((edit) =>
      poolingCallsIn(project, edit, ['forHttpClient', 'forHttpClientAsync']).some((each) =>
        new RegExp(`name:\\s*(['"\`])${name}\\1`).test(each.getText()),
      ),
    );
  const edit = project.edit(path)!;
  if (present) report.leave(shown, `the client ${name} is registered`);
  else {
    const call = registration(edit, name, variable);
    if (!addToMetadata(edit, 'imports', call)) return report.warn(`${shown} can't be changed safely. ${byHand}`);
    project.save(edit);
    report.did(shown, `imports PoolingModule.forHttpClientAsync({ name: '${name}', … })`);
  }
  const withProvider = project.edit(path)!;
  const provider = addImport(withProvider, relative(folderOf(path), file, project.isEsm), className);
  if (!addToMetadata(withProvider, 'providers', provider))
    return report.warn(`${shown}: add ${className} to the providers`);
  project.save(withProvider);
  report.did(shown, `provides ${className}`);
  if (fileWithPooling(project) === undefined)
    report.warn(`PoolingModule.forRoot() is imported nowhere yet: npx nest add ${LIBRARY}`);
}

/** Makes an injectable client of another service with its test, and registers it in the nearest module. */
export function httpClient(options: HttpClientSchematicOptions): Rule {
  return (tree: Tree, context: Context) => {
    const compiler = loadTypeScript();
    if (compiler === undefined) throw new Error(NO_TYPESCRIPT);
    const project = new Project(tree, compiler, options);
    const folders = options.name.split('/');
    const name = kebab(folders.pop()!);
    if (!/^[a-z]/.test(name))
      throw new Error(`"${options.name}" can't be the name of a class: say a word, such as carrier`);
    const folder = joinPath(
      project.sourceRoot,
      options.path ?? '',
      ...folders.map(kebab),
      options.flat === true ? '' : name,
    );
    const className = `${pascal(name)}Client`;
    const file = joinPath(folder, `${name}.client.ts`);
    const variable = `${name.replaceAll('-', '_').toUpperCase()}_URL`;
    const report = new Report();
    tree.create(file, clientSource(name, className));
    report.did(shownPath(file), className);
    if (options.spec !== false) {
      const spec = joinPath(folder, `${name}.client.${options.specFileSuffix ?? 'spec'}.ts`);
      tree.create(spec, clientSpecSource(name, className, relative(folder, file, project.isEsm)));
      report.did(shownPath(spec), 'its test');
    }
    const parts = { database: false, http: true, health: false, metrics: false };
    if (addMissingPackages(project, parts, report)) context.addTask(installTask(project));
    if (options.skipImport !== true) {
      register(project, { name, className, variable, file }, report);
      const { file: example, was } = addToEnvExample(tree, variable, `https://${name}.example`);
      if (was === 'added') report.did(example, variable);
      else report.leave(example, `${variable} is there`);
    }
    report.print(context.logger);
  };
}
