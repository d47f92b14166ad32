import type ts from 'typescript';
import { classReference, type ClassReference } from './class-files.js';
import { isImported } from './imports.js';
import type { SourceEdit } from './source-edit.js';
import { isWrapper, memberOf } from './unwrapped.js';

/** How an application is made: `NestFactory.create(AppModule)` and its like. */
export interface Creation {
  readonly call: ts.CallExpression;
  readonly method: 'create' | 'createMicroservice' | 'createApplicationContext';
  /** The root module's class. */
  readonly module: ClassReference | undefined;
}

const METHODS = ['create', 'createMicroservice', 'createApplicationContext'];

function isFactory(edit: SourceEdit, object: ts.Expression): boolean {
  return object.getText() === 'NestFactory' || isImported(edit, object, '@nestjs/core', 'NestFactory');
}

/** Every application that a file makes. */
export function creationsIn(edit: SourceEdit): Creation[] {
  const { compiler } = edit;
  const calls = edit.find((node): node is ts.CallExpression => compiler.isCallExpression(node));
  return calls.flatMap((call) => {
    const called = memberOf(compiler, call.expression);
    if (called === undefined || !METHODS.includes(called.name) || !isFactory(edit, called.object)) return [];
    const method = called.name as Creation['method'];
    return [{ call, method, module: classReference(edit, call.arguments[0]) }];
  });
}

/** Whether signals are listened to already. */
export function hasShutdownHooks({ compiler, file }: SourceEdit): boolean {
  let found = false;
  const visit = (node: ts.Node): void => {
    if (compiler.isPropertyAccessExpression(node) && node.name.text === 'enableShutdownHooks') found = true;
    if (!found) compiler.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Where the application has a name, and a place for a statement behind that. */
interface Place {
  readonly name: string;
  readonly after: ts.Node;
  readonly isFirst: boolean;
}

/** `NestFactory.create(…).then((app) => { … })` */
function placeInCallback({ compiler }: SourceEdit, call: ts.CallExpression): Place | undefined {
  const access = call.parent;
  if (!compiler.isPropertyAccessExpression(access) || access.name.text !== 'then') return undefined;
  const callback = compiler.isCallExpression(access.parent) ? access.parent.arguments[0] : undefined;
  if (!callback || !(compiler.isArrowFunction(callback) || compiler.isFunctionExpression(callback))) return undefined;
  const name = callback.parameters[0]?.name.getText();
  if (name === undefined || !compiler.isBlock(callback.body)) return undefined;
  return { name, after: callback.body, isFirst: true };
}

/** `const app = await NestFactory.create(…)`, `app = …` */
function placeBehind(edit: SourceEdit, call: ts.CallExpression): Place | undefined {
  const { compiler } = edit;
  let node: ts.Node = call;
  let name: string | undefined;
  let awaited = false;
  for (; !compiler.isStatement(node.parent); node = node.parent) {
    const { parent } = node;
    if (compiler.isAwaitExpression(parent)) awaited = true;
    else if (compiler.isVariableDeclaration(parent))
      name = compiler.isIdentifier(parent.name) ? parent.name.text : undefined;
    else if (compiler.isBinaryExpression(parent) && parent.operatorToken.kind === compiler.SyntaxKind.EqualsToken)
      name = parent.left.getText();
    else if (!isWrapper(compiler, parent) && !compiler.isVariableDeclarationList(parent)) return undefined;
  }
  const statement = node.parent;
  const isOneOfSeveral = compiler.isBlock(statement.parent) || compiler.isSourceFile(statement.parent);
  if (!awaited || name === undefined || !isOneOfSeveral) return undefined;
  return { name, after: statement, isFirst: false };
}

/**
 * Adds a call of a method of the application behind the place where it is made.
 *
 * @returns whether it could: the application needs a name there
 */
export function addCall(edit: SourceEdit, { call }: Creation, method: string): boolean {
  const place = placeInCallback(edit, call) ?? placeBehind(edit, call);
  if (place === undefined) return false;
  const { name, after, isFirst } = place;
  if (isFirst) {
    const indent = edit.indentAt(after.getStart()) + edit.step;
    edit.insert(after.getStart() + 1, `\n${indent}${name}.${method};`);
    return true;
  }
  const end = after.getText().endsWith(';') ? ';' : '';
  edit.insert(edit.endWithComment(after.end), `\n${edit.indentAt(after.getStart())}${name}.${method}${end}`);
  return true;
}
