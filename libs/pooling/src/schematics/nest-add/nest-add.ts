import { addToEnvExample } from '../env-example.js';
import { Project, type ProjectOptions } from '../project.js';
import { Report } from '../report.js';
import { placeOfClass } from '../source/class-files.js';
import type { ClassPlace } from '../source/exports.js';
import { addImport, nameOf } from '../source/imports.js';
import { addCall, creationsIn, hasShutdownHooks, type Creation } from '../source/main-file.js';
import { addToMetadata } from '../source/module-metadata.js';
import { fileWithPooling } from '../source/pooling-calls.js';
import type { SourceEdit } from '../source/source-edit.js';
import { joinPath, shownPath, type Context, type Rule, type Tree } from '../tree.js';
import { loadTypeScript } from '../typescript-package.cjs';
import { LIBRARY, NO_TYPESCRIPT } from '../words.js';
import { addMissingPackages } from '../packages/add-missing-packages.js';
import { installTask } from '../packages/install.js';
import type { Parts } from '../packages/needed-packages.js';
import { moduleCall } from './module-call.js';

/** The options of `nest add nestjs-pooling`; parts that are left out are on, except for the console. */
export interface AddOptions extends ProjectOptions, Partial<Parts> {
  readonly module?: string;
  readonly skipInstall?: boolean;
  readonly console?: boolean;
}

/** Where an application is made. */
interface Start {
  readonly edit: SourceEdit;
  readonly creation: Creation;
}

function isOn(options: AddOptions, part: keyof Parts): boolean {
  // Some versions of the command line read `--no-http` as `--http`.
  return options[part] !== false && !process.argv.includes(`--no-${part}`);
}

function findStart(project: Project): Start | undefined {
  const main = project.edit(project.main);
  const edits = [...(main ? [main] : []), ...project.sourcesWith('NestFactory')];
  for (const edit of edits) {
    const creations = creationsIn(edit);
    const creation = creations.find(({ method }) => method === 'create') ?? creations[0];
    if (creation) return { edit, creation };
  }
  return undefined;
}

function partsOf(options: AddOptions, start: Start | undefined, report: Report): Parts {
  // Without an HTTP server there are no routes.
  const hasRoutes = start === undefined || start.creation.method === 'create';
  if (!hasRoutes) report.note('The application has no HTTP server: health and metrics routes are off');
  return {
    database: isOn(options, 'database'),
    http: isOn(options, 'http'),
    health: hasRoutes && isOn(options, 'health'),
    metrics: hasRoutes && isOn(options, 'metrics'),
  };
}

function rootModule(project: Project, options: AddOptions, start: Start | undefined): ClassPlace | undefined {
  if (options.module !== undefined) {
    const paths = [joinPath(options.module), joinPath(project.sourceRoot, options.module)];
    const path = paths.find((each) => project.tree.exists(each));
    return path === undefined ? undefined : { path, name: undefined };
  }
  const unknown = { name: 'AppModule', local: 'AppModule', specifier: undefined };
  return placeOfClass(project, start?.edit.path ?? project.main, start?.creation.module ?? unknown);
}

function importModule(
  project: Project,
  options: AddOptions,
  parts: Parts,
  start: Start | undefined,
  report: Report,
): void {
  const present = fileWithPooling(project);
  if (present !== undefined) return report.leave(present, 'PoolingModule is imported');
  const root = rootModule(project, options, start);
  const edit = root && project.edit(root.path);
  const byHand = 'Add PoolingModule.forRoot() to the imports of the root module';
  if (root === undefined || edit === undefined)
    return report.warn(`The root module wasn't found. ${byHand}, or say --module <file>`);
  const config = parts.database ? nameOf(edit, '@nestjs/config', 'ConfigModule') : undefined;
  const local = addImport(edit, LIBRARY, 'PoolingModule');
  const service = config === undefined ? undefined : addImport(edit, '@nestjs/config', 'ConfigService');
  const call = moduleCall({ local, parts, console: options.console === true, config, service, step: edit.step });
  const shown = shownPath(root.path);
  if (!addToMetadata(edit, 'imports', edit.quoted(call), root.name))
    return report.warn(`${shown}: its imports can't be changed safely. ${byHand}`);
  project.save(edit);
  report.did(shown, `imports ${call.split('(')[0]}(${call.endsWith('()') ? '' : '…'})`);
}

/** Whether Nest can end a process with exit code 0 after a signal: since 11.1.10. */
function canExit(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = (/\d+(?:\.\d+)*/.exec(version)?.[0] ?? '').split('.').map(Number);
  return major > 11 || (major === 11 && (minor > 1 || (minor === 1 && patch >= 10)));
}

function addHooks(project: Project, start: Start | undefined, report: Report): void {
  const byHand = 'Call app.enableShutdownHooks() before the application listens';
  if (start === undefined) return report.warn(`No NestFactory.create(…) was found. ${byHand}`);
  const { edit, creation } = start;
  const shown = shownPath(edit.path);
  if (hasShutdownHooks(edit)) return report.leave(shown, 'enableShutdownHooks() is called');
  const method = canExit(project.versionOf('@nestjs/core') ?? '')
    ? 'enableShutdownHooks([], { useProcessExit: true })'
    : 'enableShutdownHooks()';
  if (!addCall(edit, creation, method)) return report.warn(`${shown}: the application has no name there. ${byHand}`);
  project.save(edit);
  report.did(shown, 'calls enableShutdownHooks()');
}

function addDatabaseUrl(project: Project, report: Report): void {
  const name =
    (project.manifest as { name?: string }).name?.replaceAll(/[^\w]+/g, '_').replaceAll(/^_+|_+$/g, '') || 'app';
  const { file, was } = addToEnvExample(
    project.tree,
    'DATABASE_URL',
    `postgres://postgres:postgres@localhost:5432/${name}`,
  );
  if (was === 'added') report.did(file, 'DATABASE_URL');
  else report.leave(file, 'DATABASE_URL is there');
}

function environmentNote(project: Project): string {
  const loads = project.declared('@nestjs/config') === undefined;
  return `Set DATABASE_URL${loads ? ': Nest reads no .env file by itself (node --env-file=.env, or @nestjs/config)' : ''}`;
}

/** `nest add nestjs-pooling`: packages, module, shutdown hooks and DATABASE_URL, each only where it is missing. */
export function nestAdd(options: AddOptions): Rule {
  return (tree: Tree, context: Context) => {
    const compiler = loadTypeScript();
    if (compiler === undefined) throw new Error(NO_TYPESCRIPT);
    const project = new Project(tree, compiler, options);
    const report = new Report();
    const start = findStart(project);
    const parts = partsOf(options, start, report);
    const isChanged = addMissingPackages(project, parts, report);
    importModule(project, options, parts, start, report);
    // Looked up again: the root module may be in the same file, which was changed.
    addHooks(project, findStart(project), report);
    if (parts.database) addDatabaseUrl(project, report);
    if (isChanged && options.skipInstall === true) report.note('Install the packages of package.json');
    else if (isChanged) context.addTask(installTask(project));
    if (parts.database) report.note(environmentNote(project));
    if (parts.health) report.note('Then start the application, and see /health');
    report.print(context.logger);
  };
}
