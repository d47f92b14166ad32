import type ts from 'typescript';
import type { TypeScript } from '../typescript-package.cjs';

type Wrapper =
  ts.ParenthesizedExpression | ts.AsExpression | ts.SatisfiesExpression | ts.TypeAssertion | ts.NonNullExpression;

/** Whether an expression only wraps another one: `(x)`, `x as T`, `x satisfies T`, `<T>x`, `x!`. */
export function isWrapper(compiler: TypeScript, node: ts.Node): node is Wrapper {
  return (
    compiler.isParenthesizedExpression(node) ||
    compiler.isAsExpression(node) ||
    compiler.isSatisfiesExpression(node) ||
    compiler.isTypeAssertionExpression(node) ||
    compiler.isNonNullExpression(node)
  );
}

/** An expression without such wrappers. */
export function unwrapped(compiler: TypeScript, expression: ts.Expression): ts.Expression {
  let node = expression;
  while (isWrapper(compiler, node)) node = node.expression;
  return node;
}

/** A member that is read by its name: `object.name` or `object['name']`. */
export function memberOf(
  compiler: TypeScript,
  expression: ts.Expression,
): { readonly object: ts.Expression; readonly name: string } | undefined {
  const node = unwrapped(compiler, expression);
  if (compiler.isPropertyAccessExpression(node))
    return { object: unwrapped(compiler, node.expression), name: node.name.text };
  if (compiler.isElementAccessExpression(node) && compiler.isStringLiteralLike(node.argumentExpression))
    return { object: unwrapped(compiler, node.expression), name: node.argumentExpression.text };
  return undefined;
}
