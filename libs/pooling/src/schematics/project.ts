import { installedVersion } from './installed-version.cjs';
import { findFiles, folderOf, joinPath, readText, type Tree } from './tree.js';
import { SourceEdit } from './source/source-edit.js';
import type { TypeScript } from './typescript-package.cjs';

/** Sources that the application itself is made of. */
const SOURCE = /^(?!.*\.(?:spec|test|e2e-spec|d)\.ts$).*\.ts$/;

interface CommandLineSettings {
  readonly sourceRoot?: string;
  readonly entryFile?: string;
  readonly projects?: Readonly<Record<string, { readonly sourceRoot?: string; readonly entryFile?: string }>>;
}

export interface Manifest {
  readonly type?: string;
  readonly engines?: { readonly node?: string };
  readonly packageManager?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Which application is meant. */
export interface ProjectOptions {
  readonly sourceRoot?: string;
  readonly project?: string;
}

/** The application that a schematic works on. */
export class Project {
  readonly manifest: Manifest;
  readonly sourceRoot: string;
  readonly main: string;

  constructor(
    readonly tree: Tree,
    private readonly compiler: TypeScript,
    options: ProjectOptions,
  ) {
    const manifest = readText(tree, '/package.json');
    if (manifest === undefined) throw new Error('There is no package.json here: run this in the project’s folder');
    this.manifest = JSON.parse(manifest) as Manifest;
    const settings = this.readSettings();
    const root = options.sourceRoot ?? settings.projects?.[options.project ?? '']?.sourceRoot ?? settings.sourceRoot;
    this.sourceRoot = joinPath(root ?? 'src');
    const own = Object.entries(settings.projects ?? {}).find(
      ([name, each]) => name === options.project || joinPath(each.sourceRoot ?? '') === this.sourceRoot,
    );
    this.main = joinPath(this.sourceRoot, `${own?.[1].entryFile ?? settings.entryFile ?? 'main'}.ts`);
  }

  private readSettings(): CommandLineSettings {
    const text = readText(this.tree, '/nest-cli.json') ?? readText(this.tree, '/.nest-cli.json');
    if (text === undefined) return {};
    // It may have comments.
    return (this.compiler.parseConfigFileTextToJson('nest-cli.json', text).config ?? {}) as CommandLineSettings;
  }

  /** Whether the application's own code is ES modules: relative imports name files then. */
  get isEsm(): boolean {
    return this.manifest.type === 'module';
  }

  /** What package.json says of a package, whatever it is needed for. */
  declared(name: string): string | undefined {
    return this.manifest.dependencies?.[name] ?? this.manifest.devDependencies?.[name];
  }

  /** The version of a package that is installed, else the range that package.json has; `undefined` without either. */
  versionOf(name: string): string | undefined {
    const installed = readText(this.tree, `/node_modules/${name}/package.json`);
    if (installed !== undefined) return (JSON.parse(installed) as { version?: string }).version;
    // A workspace's packages are in a folder above, those of Yarn's PnP in none.
    const isElsewhere = !this.tree.exists('/node_modules/@nestjs/core/package.json');
    return (isElsewhere ? installedVersion(name) : undefined) ?? this.declared(name);
  }

  /** A source file, to be read or changed. */
  edit(path: string): SourceEdit | undefined {
    const text = readText(this.tree, path);
    return text === undefined ? undefined : new SourceEdit(this.compiler, path, text);
  }

  /** The application's sources that hold a text. */
  sourcesWith(text: string): SourceEdit[] {
    return findFiles(this.tree, this.sourceRoot, SOURCE)
      .map((path) => this.edit(path)!)
      .filter((edit) => edit.text.includes(text));
  }

  /** The file of the application that declares a class, where an import of that file leads: by its path, else by its text. */
  fileOfClass(name: string, from: string, specifier: string | undefined): string | undefined {
    if (specifier?.startsWith('.')) {
      const path = joinPath(folderOf(from), specifier);
      const bare = path.replace(/\.[cm]?[jt]s$/, '');
      const found = [`${bare}.ts`, `${path}.ts`].find((each) => this.tree.exists(each));
      if (found !== undefined && this.edit(found)!.text.includes(`class ${name}`)) return found;
    }
    const declares = new RegExp(`\\bclass ${name}\\b`);
    return this.sourcesWith('@nestjs/common').find(({ text }) => declares.test(text))?.path;
  }

  /** Writes a source file that was changed. */
  save(edit: SourceEdit): void {
    if (edit.isChanged) this.tree.overwrite(edit.path, edit.result());
  }
}
