import { installedVersion } from './installed-version.cjs';
import { importedLibraries, type WorkspaceLibrary } from './libraries.js';
import { filesOf, type ModuleSettings } from './module-paths.js';
import { Catalogs } from './packages/catalogs.js';
import { findFiles, joinPath, parseJson, readText, type Tree } from './tree.js';
import { SourceEdit } from './source/source-edit.js';
import type { TypeScript } from './typescript-package.cjs';
import { workspaceRootAbove } from './workspace.js';

/** Sources that the application itself is made of. */
const SOURCE = /^(?!.*\.(?:spec|test|e2e-spec|d)\.ts$).*\.ts$/;

interface ProjectSettings {
  readonly type?: string;
  readonly sourceRoot?: string;
  readonly entryFile?: string;
}

interface CommandLineSettings extends ProjectSettings {
  readonly projects?: Readonly<Record<string, ProjectSettings>>;
}

interface CompilerSettings {
  readonly compilerOptions?: ModuleSettings;
}

export interface Manifest {
  readonly type?: string;
  readonly engines?: { readonly node?: string };
  readonly packageManager?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Options that name the application. */
export interface ProjectOptions {
  readonly sourceRoot?: string;
  readonly project?: string;
}

/** The application that a schematic works on. */
export class Project {
  readonly manifest: Manifest;
  readonly sourceRoot: string;
  readonly main: string;
  /** What `catalog:` stands for in package.json. */
  readonly catalogs: Catalogs;
  private readonly modules: ModuleSettings;
  private readonly libraries: readonly WorkspaceLibrary[];

  constructor(
    readonly tree: Tree,
    readonly compiler: TypeScript,
    options: ProjectOptions,
  ) {
    const manifest = readText(tree, '/package.json');
    if (manifest === undefined) throw new Error('There is no package.json here: run this in the project’s folder');
    this.manifest = parseJson<Manifest>(manifest);
    const settings = this.readJsonc<CommandLineSettings>('/nest-cli.json', '/.nest-cli.json');
    this.catalogs = new Catalogs((file) => readText(tree, `/${file}`) ?? workspaceRootAbove()?.read(file));
    this.modules = this.readJsonc<CompilerSettings>('/tsconfig.json').compilerOptions ?? {};
    this.libraries = this.findLibraries(settings);
    const root = options.sourceRoot ?? settings.projects?.[options.project ?? '']?.sourceRoot ?? settings.sourceRoot;
    this.sourceRoot = joinPath(root ?? 'src');
    const own = Object.entries(settings.projects ?? {}).find(
      ([name, each]) => name === options.project || joinPath(each.sourceRoot ?? '') === this.sourceRoot,
    );
    this.main = joinPath(this.sourceRoot, `${own?.[1].entryFile ?? settings.entryFile ?? 'main'}.ts`);
  }

  /** A file of settings, which may have comments. */
  private readJsonc<T extends object>(...names: string[]): Partial<T> {
    const name = names.find((each) => this.tree.exists(each));
    if (name === undefined) return {};
    return (this.compiler.parseConfigFileTextToJson(name, readText(this.tree, name)!).config ?? {}) as Partial<T>;
  }

  /** Whether the application's own code is ES modules: relative imports name files then. */
  get isEsm(): boolean {
    return this.manifest.type === 'module';
  }

  /** The range of a package in package.json, in any kind of dependencies. */
  declared(name: string): string | undefined {
    return this.manifest.dependencies?.[name] ?? this.manifest.devDependencies?.[name];
  }

  /** The version of a package that is installed, else the range that package.json has; `undefined` without either. */
  versionOf(name: string): string | undefined {
    const installed = readText(this.tree, `/node_modules/${name}/package.json`);
    if (installed !== undefined) return parseJson<{ version?: string }>(installed).version;
    // A workspace's packages are in a folder above, those of Yarn's PnP in none.
    const isElsewhere = !this.tree.exists('/node_modules/@nestjs/core/package.json');
    const declared = this.declared(name);
    const elsewhere = isElsewhere ? installedVersion(name) : undefined;
    return elsewhere ?? (declared && this.catalogs.resolve(name, declared));
  }

  /** A source file, to be read or changed. */
  edit(path: string): SourceEdit | undefined {
    const text = readText(this.tree, path);
    return text === undefined ? undefined : new SourceEdit(this.compiler, path, text);
  }

  /** The project's own file that an import means: by a relative path, or as tsconfig.json says. */
  fileOf(from: string, specifier: string): SourceEdit | undefined {
    const path = filesOf(from, specifier, this.modules).find((each) => this.tree.exists(each));
    return path === undefined ? undefined : this.edit(path);
  }

  private sourcesUnder(folder: string): SourceEdit[] {
    return findFiles(this.tree, folder, SOURCE).map((path) => this.edit(path)!);
  }

  /** The libraries of a monorepo. */
  private findLibraries({ projects = {} }: CommandLineSettings): WorkspaceLibrary[] {
    const { baseUrl = '', paths = {} } = this.modules;
    return Object.values(projects)
      .filter(({ type, sourceRoot }) => type === 'library' && sourceRoot !== undefined)
      .map((library) => {
        const sourceRoot = joinPath(library.sourceRoot!);
        const leadsHere = (target: string): boolean => `${joinPath(baseUrl, target)}/`.startsWith(`${sourceRoot}/`);
        const own = Object.entries(paths).filter(([, targets]) => targets.some(leadsHere));
        return { sourceRoot, aliases: own.map(([alias]) => alias.replace(/\/?\*$/, '')) };
      });
  }

  /** The application's sources that hold a text; with those of the monorepo's libraries that it imports, if wanted. */
  sourcesWith(text: string, libraries?: 'with libraries'): SourceEdit[] {
    const own = this.sourcesUnder(this.sourceRoot);
    const imported =
      libraries === undefined || this.libraries.length === 0
        ? []
        : importedLibraries(own, this.libraries, ({ sourceRoot }) => this.sourcesUnder(sourceRoot));
    const all = [...own, ...imported.flatMap(({ sourceRoot }) => this.sourcesUnder(sourceRoot))];
    return all.filter((edit) => edit.text.includes(text));
  }

  /** Writes a source file that was changed. */
  save(edit: SourceEdit): void {
    if (edit.isChanged) this.tree.overwrite(edit.path, edit.result());
  }
}
