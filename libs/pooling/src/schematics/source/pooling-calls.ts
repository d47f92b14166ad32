import type ts from 'typescript';
import type { Project } from '../project.js';
import { shownPath } from '../tree.js';
import { LIBRARY } from '../words.js';
import { workspacePackages } from '../workspace-packages.js';
import { importOrigins } from './exports.js';
import { importedNames, isImported } from './imports.js';
import type { SourceEdit } from './source-edit.js';
import { memberOf, unwrapped } from './unwrapped.js';

/** Whether an expression is `PoolingModule`: imported from the library, or from a file that exports it again. */
function isPoolingModule(project: Project, edit: SourceEdit, expression: ts.Expression): boolean {
  const { compiler } = edit;
  if (isImported(edit, expression, LIBRARY, 'PoolingModule')) return true;
  const node = unwrapped(compiler, expression);
  const member = memberOf(compiler, node);
  const name = member?.object ?? node;
  if (!compiler.isIdentifier(name)) return false;
  const source = importedNames(edit).find(({ local, isTypeOnly }) => local === name.text && !isTypeOnly);
  if (source === undefined || (source.exported === '*') !== (member !== undefined)) return false;
  return importOrigins(project, edit.path, source.module, member?.name ?? source.exported).some(
    (origin) => 'module' in origin && origin.module === LIBRARY && origin.exported === 'PoolingModule',
  );
}

/** The calls of `PoolingModule`'s methods in a file, such as `PoolingModule.forRoot(…)`. */
export function poolingCallsIn(project: Project, edit: SourceEdit, methods: readonly string[]): ts.CallExpression[] {
  const { compiler } = edit;
  return edit
    .find((node): node is ts.CallExpression => compiler.isCallExpression(node))
    .filter(({ expression }) => {
      const called = memberOf(compiler, expression);
      return called !== undefined && methods.includes(called.name) && isPoolingModule(project, edit, called.object);
    });
}

function importsPooling(project: Project, edit: SourceEdit): boolean {
  return poolingCallsIn(project, edit, ['forRoot', 'forRootAsync']).length > 0;
}

/**
 * The file that imports `PoolingModule.forRoot()`: of the application, of a library of its monorepo, or of a package of its
 * workspace that it imports.
 */
export function fileWithPooling(project: Project): string | undefined {
  const own = project.sourcesWith('forRoot', 'with libraries').find((edit) => importsPooling(project, edit));
  if (own) return shownPath(own.path);
  for (const { project: other, shown } of workspacePackages(project)) {
    const file = other.sourcesWith('forRoot').find((edit) => importsPooling(other, edit));
    if (file) return `${shown}${file.path}`;
  }
  return undefined;
}
