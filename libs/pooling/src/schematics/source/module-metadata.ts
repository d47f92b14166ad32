import type ts from 'typescript';
import { isImported } from './imports.js';
import type { SourceEdit } from './source-edit.js';
import { memberOf, unwrapped } from './unwrapped.js';

/** Lines of a text, all but the first of which are moved in. */
function indented(text: string, indent: string): string {
  return text.replaceAll('\n', `\n${indent}`);
}

function isModuleDecorator(edit: SourceEdit, { expression }: ts.Decorator): boolean {
  const { compiler } = edit;
  if (!compiler.isCallExpression(expression)) return false;
  const called = expression.expression;
  const name = memberOf(compiler, called)?.name ?? called.getText();
  return name === 'Module' || isImported(edit, called, '@nestjs/common', 'Module');
}

/** What `@Module(…)` of a class is given; `undefined` where it isn't an object that stands in this file. */
function metadataOf(edit: SourceEdit, className: string | undefined): ts.ObjectLiteralExpression | undefined {
  const { compiler } = edit;
  for (const declaration of edit.find((node): node is ts.ClassDeclaration => compiler.isClassDeclaration(node))) {
    if (className !== undefined && declaration.name?.text !== className) continue;
    const decorator = compiler.getDecorators(declaration)?.find((each) => isModuleDecorator(edit, each));
    const argument = (decorator?.expression as ts.CallExpression | undefined)?.arguments[0];
    if (argument === undefined) continue;
    const given = unwrapped(compiler, argument);
    if (compiler.isObjectLiteralExpression(given)) return given;
    const variable = edit
      .find((node): node is ts.VariableDeclaration => compiler.isVariableDeclaration(node))
      .find(({ name }) => compiler.isIdentifier(given) && name.getText() === given.text);
    const value = variable?.initializer && unwrapped(compiler, variable.initializer);
    if (value && compiler.isObjectLiteralExpression(value)) return value;
  }
  return undefined;
}

const LINE = 80;

/** An array in one line that would become too long, or hold several lines, gets a line for each element. */
function breakArray(edit: SourceEdit, array: ts.ArrayLiteralExpression, element: string): boolean {
  const text = array.getText();
  const line = edit.text.slice(edit.text.lastIndexOf('\n', array.getStart() - 1) + 1, array.end);
  const fits = !element.includes('\n') && line.length + element.length + (array.elements.length > 0 ? 3 : 1) <= LINE;
  if (fits || /\n|\/[/*]/.test(text)) return false;
  const indent = edit.indentAt(array.getStart());
  const inner = indent + edit.step;
  const elements = [...array.elements.map((each) => each.getText()), indented(element, inner)];
  edit.replace(array.getStart(), array.end, `[\n${elements.map((each) => `${inner}${each},\n`).join('')}${indent}]`);
  return true;
}

function addElement(edit: SourceEdit, array: ts.ArrayLiteralExpression, element: string): void {
  const last = array.elements.at(-1);
  if (breakArray(edit, array, element)) return;
  if (last === undefined) return edit.insert(array.getStart() + 1, element);
  const start = last.getStart();
  const { hasTrailingComma } = array.elements;
  const end = hasTrailingComma ? array.elements.end : last.end;
  const commented = edit.endWithComment(end);
  const isBroken =
    edit.lineOf(start) !== edit.lineOf(array.getStart()) || /\/\/[^\n]*$/.test(edit.text.slice(end, commented));
  if (!isBroken) return edit.insert(last.end, `, ${element}`);
  const own =
    edit.lineOf(start) === edit.lineOf(array.getStart()) ? edit.indentAt(start) + edit.step : edit.indentAt(start);
  if (!hasTrailingComma) edit.insert(last.end, ',');
  edit.insert(commented, `\n${own}${indented(element, own)}${hasTrailingComma ? ',' : ''}`);
}

function addProperty(edit: SourceEdit, object: ts.ObjectLiteralExpression, name: string, element: string): void {
  const first = object.properties[0];
  const open = object.getStart() + 1;
  const isBroken = first === undefined || edit.lineOf(first.getStart()) !== edit.lineOf(object.getStart());
  if (!isBroken) return edit.insert(open, ` ${name}: [${indented(element, edit.indentAt(open))}],`);
  const outer = edit.indentAt(object.getStart());
  const indent = first ? edit.indentAt(first.getStart()) : outer + edit.step;
  const value =
    element.includes('\n') || indent.length + name.length + element.length + 5 > LINE
      ? `[\n${indent}${edit.step}${indented(element, indent + edit.step)},\n${indent}]`
      : `[${element}]`;
  const closed = first === undefined && edit.lineOf(object.end) === edit.lineOf(open) ? `\n${outer}` : '';
  edit.insert(open, `\n${indent}${name}: ${value},${closed}`);
}

/** What a property is called; `undefined` where only the running program can tell. */
function propertyName({ compiler }: SourceEdit, name: ts.PropertyName): string | undefined {
  const given = compiler.isComputedPropertyName(name) ? unwrapped(compiler, name.expression) : name;
  const isLiteral = compiler.isStringLiteralLike(given) || given.kind === compiler.SyntaxKind.NumericLiteral;
  if (isLiteral) return (given as ts.LiteralExpression).text;
  return compiler.isIdentifier(name) ? name.text : undefined;
}

/**
 * Adds an element to an array of a module's metadata, such as `imports`, however it is written.
 *
 * @returns whether it could: not where the metadata is spread from elsewhere, or not an object in this file
 */
export function addToMetadata(edit: SourceEdit, property: string, element: string, className?: string): boolean {
  const { compiler } = edit;
  const object = metadataOf(edit, className);
  if (object === undefined) return false;
  const named = object.properties.find(({ name }) => name !== undefined && propertyName(edit, name) === property);
  if (named && compiler.isShorthandPropertyAssignment(named)) {
    edit.replace(named.getStart(), named.end, `${property}: [...${property}, ${element}]`);
    return true;
  }
  if (named && compiler.isPropertyAssignment(named)) {
    const { initializer } = named;
    const value = unwrapped(compiler, initializer);
    if (compiler.isArrayLiteralExpression(value)) addElement(edit, value, element);
    else edit.replace(initializer.getStart(), initializer.end, `[...(${initializer.getText()}), ${element}]`);
    return true;
  }
  // What is spread, or has a name that is computed, may bring an array of this name, which a second one would hide.
  const isUnknown = ({ name }: ts.ObjectLiteralElementLike): boolean =>
    name === undefined || propertyName(edit, name) === undefined;
  if (named || object.properties.some(isUnknown)) return false;
  addProperty(edit, object, property, element);
  return true;
}
