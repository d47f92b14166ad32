import type ts from 'typescript';
import type { Project } from '../project.js';
import { declares, importOrigins, type ClassPlace } from './exports.js';
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

/** Where a class is declared to which a file refers: by way of its imports, else by its name. */
export function placeOfClass(project: Project, from: string, reference: ClassReference): ClassPlace | undefined {
  const { name, local, specifier } = reference;
  if (specifier === undefined) {
    const edit = project.edit(from);
    if (edit && declares(edit, name)) return { path: from, name };
  } else {
    const found = importOrigins(project, from, specifier, name).find((origin) => 'path' in origin);
    if (found) return found;
  }
  // By way of what isn't followed, such as a tsconfig.json that extends another.
  const called = name === 'default' ? local : name;
  const path = project.sourcesWith('@nestjs/common').find((edit) => declares(edit, called))?.path;
  return path === undefined ? undefined : { path, name: called };
}
