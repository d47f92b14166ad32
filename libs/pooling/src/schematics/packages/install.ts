import type { Project } from '../project.js';
import { workspaceRootAbove } from '../workspace.js';

/** Package managers by their files, some of which the command line that runs the schematics may not know. */
const FILES: Readonly<Record<string, string>> = {
  'bun.lock': 'bun',
  'bun.lockb': 'bun',
  'pnpm-lock.yaml': 'pnpm',
  'pnpm-workspace.yaml': 'pnpm',
  'yarn.lock': 'yarn',
  'package-lock.json': 'npm',
};

function managerOf(has: (file: string) => boolean, packageManager: string | undefined): string | undefined {
  const file = Object.keys(FILES).find(has);
  if (file !== undefined) return FILES[file];
  const named = packageManager?.split('@')[0];
  return named !== undefined && Object.values(FILES).includes(named) ? named : undefined;
}

/** The project's package manager, or that of the workspace that it belongs to; `undefined` where nothing tells. */
export function packageManagerOf({ tree, manifest }: Project): string | undefined {
  const own = managerOf((file) => tree.exists(`/${file}`), manifest.packageManager);
  if (own !== undefined) return own;
  const root = workspaceRootAbove();
  return root && managerOf(root.has, root.packageManager);
}

/** Has the packages of package.json installed, as `NodePackageInstallTask` of `@angular-devkit/schematics` does. */
export function installTask(project: Project): { toConfiguration(): { name: string; options: object } } {
  const packageManager = packageManagerOf(project);
  const options = { command: 'install', quiet: true, hideOutput: true, allowScripts: false };
  return {
    toConfiguration: () => ({
      name: 'node-package',
      options: packageManager === undefined ? options : { ...options, packageManager },
    }),
  };
}
