/**
 * What the schematics use of `@angular-devkit/schematics`, which runs them. They need its objects and never the package itself,
 * which comes with the application's version of Nest's command line.
 */

/** A folder of the project. */
export interface TreeFolder {
  readonly path: string;
  readonly parent: TreeFolder | null;
  readonly subdirs: readonly string[];
  readonly subfiles: readonly string[];
  dir(name: string): TreeFolder;
}

/** The project's files, as they will be. */
export interface Tree {
  read(path: string): { toString(): string } | null;
  exists(path: string): boolean;
  create(path: string, content: string): void;
  overwrite(path: string, content: string): void;
  getDir(path: string): TreeFolder;
}

/** Where a schematic says what it does, and orders what is done afterwards. */
export interface Context {
  readonly logger: { info(message: string): void; warn(message: string): void };
  addTask(task: { toConfiguration(): { readonly name: string; readonly options?: object } }): unknown;
}

/** A change of the project. */
export type Rule = (tree: Tree, context: Context) => void;

/** Every file under a folder whose name matches, without what was installed or built. */
export function findFiles(tree: Tree, folder: string, pattern: RegExp): string[] {
  const found: string[] = [];
  const visit = (directory: TreeFolder): void => {
    for (const file of directory.subfiles) if (pattern.test(file)) found.push(joinPath(directory.path, file));
    for (const name of directory.subdirs) if (name !== 'node_modules' && name !== 'dist') visit(directory.dir(name));
  };
  visit(tree.getDir(folder));
  return found;
}

/** A file's text; `undefined` when there is no such file. */
export function readText(tree: Tree, path: string): string | undefined {
  return tree.exists(path) ? tree.read(path)?.toString() : undefined;
}

/** What a JSON file holds. Some editors of Windows begin it with a byte order mark, which JSON doesn't have. */
export function parseJson<T>(text: string): T {
  return JSON.parse(text.replace(/^\uFEFF/, '')) as T;
}

/** Parts of a path as one, from the project's root, without `.` and `..`. */
export function joinPath(...parts: string[]): string {
  const kept: string[] = [];
  for (const part of parts.join('/').split('/')) {
    if (part === '..') kept.pop();
    else if (part !== '' && part !== '.') kept.push(part);
  }
  return `/${kept.join('/')}`;
}

/** The folder that a file is in. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** A file as a person names it, from the project's root. */
export function shownPath(path: string): string {
  return path.replace(/^\//, '');
}
