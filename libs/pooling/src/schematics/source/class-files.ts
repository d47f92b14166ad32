import type ts from 'typescript';
import type { Project } from '../project.js';
import { folderOf, joinPath } from '../tree.js';
import { importedNames } from './imports.js';
import type { SourceEdit } from './source-edit.js';
import { memberOf, unwrapped } from './unwrapped.js';

/** A class as a file refers to it. */
export interface ClassReference {
  /** What it is called where it comes from; `default` for a default export. */
  readonly name: string;
  /** What it is called in the file. */
  readonly local: string;
  /** The module that it is imported from; `undefined` for one of the file itself. */
  readonly specifier: string | undefined;
}

/** Where a class is declared. */
export interface ClassPlace {
  readonly path: string;
  /** `undefined` for a class without a name. */
  readonly name: string | undefined;
}

/** The class that an expression begins with: `AppModule` of `AppModule.register({})`, or of `app.AppModule`. */
export function classReference(edit: SourceEdit, expression: ts.Expression | undefined): ClassReference | undefined {
  const { compiler } = edit;
  if (expression === undefined) return undefined;
  const names: string[] = [];
  let node = unwrapped(compiler, expression);
  while (!compiler.isIdentifier(node)) {
    const member = memberOf(compiler, node);
    if (member) names.unshift(member.name);
    else if (!compiler.isCallExpression(node)) return undefined;
    node = member?.object ?? unwrapped(compiler, (node as ts.CallExpression).expression);
  }
  const { text } = node;
  const source = importedNames(edit).find(({ local }) => local === text);
  if (source === undefined) return { name: text, local: text, specifier: undefined };
  if (source.exported !== '*') return { name: source.exported, local: text, specifier: source.module };
  const [first] = names;
  return first === undefined ? undefined : { name: first, local: first, specifier: source.module };
}

function declares(edit: SourceEdit, name: string): boolean {
  const { compiler } = edit;
  return edit.find(compiler.isClassDeclaration).some((each) => each.name?.text === name);
}

/** The file that a relative import leads to. */
function fileOf(project: Project, from: string, specifier: string): SourceEdit | undefined {
  if (!specifier.startsWith('.')) return undefined;
  const path = joinPath(folderOf(from), specifier);
  const bare = path.replace(/\.[cm]?[jt]s$/, '');
  const candidates = [`${bare}.ts`, `${path}.ts`, joinPath(path, 'index.ts')];
  const found = candidates.find((each) => project.tree.exists(each));
  return found === undefined ? undefined : project.edit(found);
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

/** Where a file's export is declared: in it, or where it has it from. */
function followExport(project: Project, edit: SourceEdit, exported: string, seen: Set<string>): ClassPlace | undefined {
  const { compiler, path } = edit;
  if (seen.has(`${path} ${exported}`)) return undefined;
  seen.add(`${path} ${exported}`);
  const own = exported === 'default' ? defaultExport(edit) : { name: exported };
  if (own && own.name === undefined) return { path, name: undefined };
  if (own?.name !== undefined && declares(edit, own.name)) return { path, name: own.name };
  const follow = (specifier: string, name: string): ClassPlace | undefined => {
    const next = fileOf(project, path, specifier);
    return next && followExport(project, next, name, seen);
  };
  for (const statement of edit.file.statements) {
    if (!compiler.isExportDeclaration(statement)) continue;
    const { exportClause: clause, moduleSpecifier } = statement;
    const specifier = moduleSpecifier && (moduleSpecifier as ts.StringLiteral).text;
    if (clause === undefined && specifier !== undefined && exported !== 'default') {
      const found = follow(specifier, exported);
      if (found) return found;
    }
    if (clause === undefined || !compiler.isNamedExports(clause)) continue;
    const element = clause.elements.find(({ name }) => name.text === exported);
    if (element === undefined) continue;
    const local = (element.propertyName ?? element.name).text;
    if (specifier !== undefined) return follow(specifier, local);
    if (declares(edit, local)) return { path, name: local };
    const source = importedNames(edit).find((each) => each.local === local);
    return source && follow(source.module, source.exported);
  }
  const source = importedNames(edit).find(({ local }) => local === own?.name);
  return source && follow(source.module, source.exported);
}

/** Where a class is declared to which a file refers: by way of its imports, else by its name. */
export function placeOfClass(project: Project, from: string, reference: ClassReference): ClassPlace | undefined {
  const { name, local, specifier } = reference;
  if (specifier === undefined) {
    const edit = project.edit(from);
    if (edit && declares(edit, name)) return { path: from, name };
  } else {
    const edit = fileOf(project, from, specifier);
    const found = edit && followExport(project, edit, name, new Set());
    if (found) return found;
  }
  // A path of tsconfig.json's, for example.
  const called = name === 'default' ? local : name;
  const path = project.sourcesWith('@nestjs/common').find((edit) => declares(edit, called))?.path;
  return path === undefined ? undefined : { path, name: called };
}
