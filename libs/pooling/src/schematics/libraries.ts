import { importedNames } from './source/imports.js';
import type { SourceEdit } from './source/source-edit.js';
import { folderOf, joinPath } from './tree.js';

/** A library of a monorepo. */
export interface WorkspaceLibrary {
  readonly sourceRoot: string;
  /** The beginnings of its imports, by `paths` of tsconfig.json. */
  readonly aliases: readonly string[];
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** The specifiers of all that a file imports and re-exports. */
export function specifiersOf(edit: SourceEdit): string[] {
  const { compiler } = edit;
  const found = importedNames(edit).map(({ module }) => module);
  for (const statement of edit.file.statements) {
    const isFrom = compiler.isImportDeclaration(statement) || compiler.isExportDeclaration(statement);
    if (isFrom && statement.moduleSpecifier && compiler.isStringLiteral(statement.moduleSpecifier))
      found.push(statement.moduleSpecifier.text);
  }
  return found;
}

/** The libraries that sources import, and those that these import. */
export function importedLibraries(
  sources: readonly SourceEdit[],
  libraries: readonly WorkspaceLibrary[],
  sourcesOf: (library: WorkspaceLibrary) => readonly SourceEdit[],
): WorkspaceLibrary[] {
  const found = new Set<WorkspaceLibrary>();
  const visit = (edits: readonly SourceEdit[]): void => {
    const imports = edits.flatMap((edit) => specifiersOf(edit).map((specifier) => ({ edit, specifier })));
    for (const library of libraries) {
      if (found.has(library)) continue;
      const isImported = imports.some(({ edit, specifier }) =>
        specifier.startsWith('.')
          ? isWithin(joinPath(folderOf(edit.path), specifier), library.sourceRoot)
          : library.aliases.some((alias) => isWithin(specifier, alias)),
      );
      if (!isImported) continue;
      found.add(library);
      visit(sourcesOf(library));
    }
  };
  visit(sources);
  return [...found];
}
