import type ts from 'typescript';
import { LIBRARY } from '../words.js';
import { localNameOf } from './imports.js';
import type { SourceEdit } from './source-edit.js';

/** The calls of `PoolingModule`'s methods in a file, such as `PoolingModule.forRoot(…)`. */
export function poolingCallsIn(edit: SourceEdit, methods: readonly string[]): ts.CallExpression[] {
  const { compiler } = edit;
  const local = localNameOf(edit, LIBRARY, 'PoolingModule');
  if (local === undefined) return [];
  return edit
    .find((node): node is ts.CallExpression => compiler.isCallExpression(node))
    .filter(({ expression: called }) => {
      const isMethod = compiler.isPropertyAccessExpression(called) && methods.includes(called.name.text);
      return isMethod && called.expression.getText() === local;
    });
}
