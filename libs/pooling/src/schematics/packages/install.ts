import type { Project } from '../project.js';

/** Package managers whose files the command line that runs the schematics may not know. */
const LOCKS: Readonly<Record<string, string>> = {
  '/bun.lock': 'bun',
  '/bun.lockb': 'bun',
  '/pnpm-lock.yaml': 'pnpm',
  '/yarn.lock': 'yarn',
  '/package-lock.json': 'npm',
};

/** The project's package manager; `undefined` where nothing here tells. */
export function packageManagerOf({ tree, manifest }: Project): string | undefined {
  const lock = Object.keys(LOCKS).find((file) => tree.exists(file));
  if (lock !== undefined) return LOCKS[lock];
  const named = manifest.packageManager?.split('@')[0];
  return named !== undefined && Object.values(LOCKS).includes(named) ? named : undefined;
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
