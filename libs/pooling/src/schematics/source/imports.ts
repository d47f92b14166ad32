import type ts from 'typescript';
import type { SourceEdit } from './source-edit.js';

function importsOf(edit: SourceEdit): ts.ImportDeclaration[] {
  return edit.file.statements.filter((statement) => edit.compiler.isImportDeclaration(statement));
}

function moduleOf({ moduleSpecifier }: ts.ImportDeclaration): string {
  return (moduleSpecifier as ts.StringLiteral).text;
}

/** The named imports of values from a module: `import { … } from`. */
function namedImportsOf(edit: SourceEdit, module: string): ts.NamedImports | undefined {
  for (const declaration of importsOf(edit)) {
    const clause = declaration.importClause;
    if (moduleOf(declaration) !== module || clause === undefined || clause.isTypeOnly) continue;
    if (clause.namedBindings && edit.compiler.isNamedImports(clause.namedBindings)) return clause.namedBindings;
  }
  return undefined;
}

/** What an export of a module is called in this file, if it is imported here: `forRoot` of `PoolingModule as Pools` is `Pools`. */
export function localNameOf(edit: SourceEdit, module: string, exported: string): string | undefined {
  const elements = namedImportsOf(edit, module)?.elements ?? [];
  return elements.find(({ name, propertyName, isTypeOnly }) => !isTypeOnly && (propertyName ?? name).text === exported)
    ?.name.text;
}

/** Where a name of this file comes from: the module's specifier, and what it is called there. */
export function sourceOf(edit: SourceEdit, local: string): { module: string; exported: string } | undefined {
  for (const declaration of importsOf(edit)) {
    const clause = declaration.importClause;
    if (clause?.name?.text === local) return { module: moduleOf(declaration), exported: 'default' };
    const bindings = clause?.namedBindings;
    if (bindings === undefined || !edit.compiler.isNamedImports(bindings)) continue;
    const element = bindings.elements.find(({ name }) => name.text === local);
    if (element) return { module: moduleOf(declaration), exported: (element.propertyName ?? element.name).text };
  }
  return undefined;
}

/** Every name that the file's top level has. */
function takenNames(edit: SourceEdit): Set<string> {
  const { compiler } = edit;
  const declared = edit.find(
    (node): node is ts.ImportSpecifier | ts.ImportClause | ts.ClassDeclaration | ts.VariableDeclaration =>
      compiler.isImportSpecifier(node) ||
      compiler.isImportClause(node) ||
      compiler.isClassDeclaration(node) ||
      compiler.isVariableDeclaration(node),
  );
  return new Set(declared.map(({ name }) => name?.getText(edit.file)).filter((name) => name !== undefined));
}

function declarationText(edit: SourceEdit, module: string, clause: string): string {
  const example = importsOf(edit)[0];
  const quote = example?.moduleSpecifier.getText(edit.file)[0] ?? "'";
  const end = example && !example.getText(edit.file).endsWith(';') ? '' : ';';
  return `import { ${clause} } from ${quote}${module}${quote}${end}`;
}

function insertDeclaration(edit: SourceEdit, module: string, clause: string): void {
  const text = declarationText(edit, module, clause);
  const declarations = importsOf(edit);
  const isRelative = (declaration: ts.ImportDeclaration): boolean => moduleOf(declaration).startsWith('.');
  const before = module.startsWith('.')
    ? declarations.at(-1)
    : declarations.findLast((declaration) => !isRelative(declaration));
  if (before) return edit.insert(edit.endWithComment(before.end), `\n${text}`);
  edit.insert((declarations[0] ?? edit.file.statements[0])?.getStart(edit.file) ?? 0, `${text}\n`);
}

/** Imports a value, unless it is imported already. Gives what it is called in this file. */
export function addImport(edit: SourceEdit, module: string, exported: string): string {
  const present = localNameOf(edit, module, exported);
  if (present !== undefined) return present;
  const local = takenNames(edit).has(exported) ? `Nest${exported}` : exported;
  const clause = local === exported ? exported : `${exported} as ${local}`;
  const named = namedImportsOf(edit, module);
  const last = named?.elements.at(-1);
  if (named === undefined || last === undefined) {
    insertDeclaration(edit, module, clause);
    return local;
  }
  const isBroken = edit.lineOf(named.getStart(edit.file)) !== edit.lineOf(last.getStart(edit.file));
  edit.insert(last.end, isBroken ? `,\n${edit.indentAt(last.getStart(edit.file))}${clause}` : `, ${clause}`);
  return local;
}
