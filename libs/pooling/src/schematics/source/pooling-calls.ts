import type ts from 'typescript';
import type { Project } from '../project.js';
import { LIBRARY } from '../words.js';
import { isImported } from './imports.js';
import type { SourceEdit } from './source-edit.js';
import { memberOf } from './unwrapped.js';

/** The calls of `PoolingModule`'s methods in a file, such as `PoolingModule.forRoot(…)`. */
export function poolingCallsIn(edit: SourceEdit, methods: readonly string[]): ts.CallExpression[] {
  const { compiler } = edit;
  return edit
    .find((node): node is ts.CallExpression => compiler.isCallExpression(node))
    .filter(({ expression }) => {
      const called = memberOf(compiler, expression);
      if (called === undefined || !methods.includes(called.name)) return false;
      return isImported(edit, called.object, LIBRARY, 'PoolingModule');
    });
}

/** The file of the application, or of a library that it imports, that imports `PoolingModule.forRoot()`. */
export function fileWithPooling(project: Project): SourceEdit | undefined {
  return project
    .sourcesWith(LIBRARY, 'with libraries')
    .find((edit) => poolingCallsIn(edit, ['forRoot', 'forRootAsync']).length > 0);
}
