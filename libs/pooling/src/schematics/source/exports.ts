import type ts from 'typescript';
import type { Project } from '../project.js';
import { importedNames } from './imports.js';
import type { SourceEdit } from './source-edit.js';
import { unwrapped } from './unwrapped.js';

/** Where a class is declared. */
export interface ClassPlace {
  readonly path: string;
  /** `undefined` for a class without a name. */
  readonly name: string | undefined;
}

/** An export of a package. */
export interface PackageExport {
  readonly module: string;
  readonly exported: string;
}

/** Where an export comes from: a class in one of the project's files, or a package. */
export type Origin = ClassPlace | PackageExport;

/** Whether a file declares a class. */
export function declares(edit: SourceEdit, name: string): boolean {
  return edit.find(edit.compiler.isClassDeclaration).some((each) => each.name?.text === name);
}

/** The class that a file's default export is, or the name that it exports so. */
function defaultExport(edit: SourceEdit): { readonly name: string | undefined } | undefined {
  const { compiler } = edit;
  for (const statement of edit.file.statements) {
    if (compiler.isExportAssignment(statement)) {
      const node = unwrapped(compiler, statement.expression);
      if (compiler.isIdentifier(node)) return { name: node.text };
    }
    if (!compiler.isClassDeclaration(statement)) continue;
    const modifiers = compiler.getModifiers(statement) ?? [];
    if (modifiers.some(({ kind }) => kind === compiler.SyntaxKind.DefaultKeyword))
      return { name: statement.name?.text };
  }
  return undefined;
}

/**
 * Where a file's export may come from: it is declared there, or followed through what the file re-exports, packages
 * included. Several, where a file exports all of more than one package: which of them has this name only they can tell.
 */
export function originsOf(project: Project, edit: SourceEdit, exported: string, seen = new Set<string>()): Origin[] {
  const { compiler, path } = edit;
  if (seen.has(`${path} ${exported}`)) return [];
  seen.add(`${path} ${exported}`);
  const own = exported === 'default' ? defaultExport(edit) : { name: exported };
  if (own && (own.name === undefined || declares(edit, own.name))) return [{ path, name: own.name }];
  const follow = (specifier: string, name: string): Origin[] => importOrigins(project, path, specifier, name, seen);
  const followLocal = (local: string): Origin[] => {
    if (declares(edit, local)) return [{ path, name: local }];
    const source = importedNames(edit).find((each) => each.local === local);
    return source ? follow(source.module, source.exported) : [];
  };
  const all: Origin[] = [];
  for (const statement of edit.file.statements) {
    if (!compiler.isExportDeclaration(statement)) continue;
    const { exportClause: clause, moduleSpecifier } = statement;
    const specifier = moduleSpecifier && (moduleSpecifier as ts.StringLiteral).text;
    if (clause === undefined && specifier !== undefined && exported !== 'default')
      all.push(...follow(specifier, exported));
    if (clause === undefined || !compiler.isNamedExports(clause)) continue;
    const element = clause.elements.find(({ name }) => name.text === exported);
    if (element === undefined) continue;
    const local = (element.propertyName ?? element.name).text;
    return specifier === undefined ? followLocal(local) : follow(specifier, local);
  }
  return own?.name === undefined ? all : [...all, ...followLocal(own.name)];
}

/** Where what a file imports may come from. */
export function importOrigins(
  project: Project,
  from: string,
  specifier: string,
  exported: string,
  seen?: Set<string>,
): Origin[] {
  const file = project.fileOf(from, specifier);
  if (file) return originsOf(project, file, exported, seen);
  return specifier.startsWith('.') ? [] : [{ module: specifier, exported }];
}
