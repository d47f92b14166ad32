import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { FolderTree } from './folder-tree.js';
import { specifiersOf } from './libraries.js';
import { Project } from './project.js';

/** A package of the workspace that the project belongs to. */
export interface WorkspacePackage {
  readonly project: Project;
  /** Its folder as a person names it, seen from the project. */
  readonly shown: string;
}

/** `@shop/database` of `@shop/database/testing`. */
function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** The folder of a workspace's package: package managers link it into `node_modules`, where it isn't. */
function linkedFolder(name: string, from: string): string | undefined {
  for (let at = from; ; at = dirname(at)) {
    const link = join(at, 'node_modules', name);
    if (existsSync(join(link, 'package.json'))) {
      const folder = realpathSync(link);
      return folder.split(sep).includes('node_modules') ? undefined : folder;
    }
    if (at === dirname(at)) return undefined;
  }
}

/** The workspace's packages that a project imports, and those that these import. They stand outside the schematics' tree. */
export function workspacePackages(project: Project): WorkspacePackage[] {
  const start = process.cwd();
  const found = new Map<string, WorkspacePackage>();
  const visit = (importing: Project, folder: string): void => {
    const specifiers = importing.sourcesWith('', 'with libraries').flatMap((edit) => specifiersOf(edit));
    const names = new Set(specifiers.filter((each) => !/^[./]|^node:/.test(each)).map(packageName));
    for (const name of names) {
      const linked = linkedFolder(name, folder);
      if (linked === undefined || found.has(linked)) continue;
      const other = new Project(new FolderTree(linked), importing.compiler, { sourceRoot: '/' });
      found.set(linked, { project: other, shown: relative(start, linked).split(sep).join('/') });
      visit(other, linked);
    }
  };
  visit(project, start);
  return [...found.values()];
}
