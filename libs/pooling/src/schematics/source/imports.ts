import type ts from 'typescript';
import type { SourceEdit } from './source-edit.js';
import { memberOf, unwrapped } from './unwrapped.js';

function importsOf(edit: SourceEdit): ts.ImportDeclaration[] {
  return edit.file.statements.filter((statement) => edit.compiler.isImportDeclaration(statement));
}

function moduleOf({ moduleSpecifier }: ts.ImportDeclaration): string {
  return (moduleSpecifier as ts.StringLiteral).text;
}

/** What a name of this file stands for: an export of a module, or with `*` all of them. */
export interface Import {
  readonly local: string;
  readonly module: string;
  readonly exported: string;
  readonly isTypeOnly: boolean;
}

/** Every name that an import declares, whatever its form. */
export function importedNames(edit: SourceEdit): Import[] {
  const { compiler } = edit;
  const found: Import[] = [];
  for (const statement of edit.file.statements) {
    if (compiler.isImportEqualsDeclaration(statement)) {
      const { moduleReference: reference, isTypeOnly } = statement;
      if (compiler.isExternalModuleReference(reference) && compiler.isStringLiteralLike(reference.expression))
        found.push({ local: statement.name.text, module: reference.expression.text, exported: '*', isTypeOnly });
    }
    if (!compiler.isImportDeclaration(statement) || statement.importClause === undefined) continue;
    const { name: whole, namedBindings: bindings, isTypeOnly } = statement.importClause;
    const module = moduleOf(statement);
    if (whole) found.push({ local: whole.text, module, exported: 'default', isTypeOnly });
    if (bindings === undefined) continue;
    if (compiler.isNamespaceImport(bindings))
      found.push({ local: bindings.name.text, module, exported: '*', isTypeOnly });
    else
      for (const element of bindings.elements)
        found.push({
          local: element.name.text,
          module,
          exported: (element.propertyName ?? element.name).text,
          isTypeOnly: isTypeOnly || element.isTypeOnly,
        });
  }
  return found;
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

/** How this file names an export of a module, if it imports it: `Pools` for `PoolingModule as Pools`, `pooling.PoolingModule` for `* as pooling`. */
export function nameOf(edit: SourceEdit, module: string, exported: string): string | undefined {
  const values = importedNames(edit).filter((each) => each.module === module && !each.isTypeOnly);
  const named = values.find((each) => each.exported === exported);
  if (named) return named.local;
  const all = values.find((each) => each.exported === '*');
  return all && `${all.local}.${exported}`;
}

/** Whether an expression is an export of a module, however this file imports it. */
export function isImported(edit: SourceEdit, expression: ts.Expression, module: string, exported: string): boolean {
  const { compiler } = edit;
  const values = importedNames(edit).filter((each) => each.module === module && !each.isTypeOnly);
  const node = unwrapped(compiler, expression);
  if (compiler.isIdentifier(node)) return values.some((each) => each.local === node.text && each.exported === exported);
  const member = memberOf(compiler, node);
  if (member?.name !== exported || !compiler.isIdentifier(member.object)) return false;
  const { text } = member.object;
  // CommonJS has its exports as the default import, too.
  return values.some((each) => each.local === text && (each.exported === '*' || each.exported === 'default'));
}

/** Every name that the file's top level has. */
function takenNames(edit: SourceEdit): Set<string> {
  const { compiler } = edit;
  const declared = edit.find(
    (node): node is ts.ClassDeclaration | ts.FunctionDeclaration | ts.EnumDeclaration | ts.VariableDeclaration =>
      compiler.isClassDeclaration(node) ||
      compiler.isFunctionDeclaration(node) ||
      compiler.isEnumDeclaration(node) ||
      compiler.isVariableDeclaration(node),
  );
  const names = declared.map(({ name }) => name?.getText(edit.file)).filter((name) => name !== undefined);
  return new Set([...names, ...importedNames(edit).map(({ local }) => local)]);
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
  const present = nameOf(edit, module, exported);
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
