import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseJson } from './tree.js';

/** The root of the workspace to which the project's folder belongs. */
export interface WorkspaceRoot {
  /** Whether it has a file. */
  has(file: string): boolean;
  /** The text of a file; `undefined` when there is none. */
  read(file: string): string | undefined;
  readonly packageManager: string | undefined;
}

interface RootManifest {
  readonly workspaces?: unknown;
  readonly packageManager?: string;
}

/** The nearest folder above that says it is a workspace's root. The schematics' tree ends at the project's own folder. */
export function workspaceRootAbove(folder: string = process.cwd()): WorkspaceRoot | undefined {
  for (let at = dirname(folder); ; at = dirname(at)) {
    const path = join(at, 'package.json');
    const manifest = existsSync(path) ? parseJson<RootManifest>(readFileSync(path, 'utf8')) : {};
    if (manifest.workspaces !== undefined || existsSync(join(at, 'pnpm-workspace.yaml')))
      return {
        has: (file) => existsSync(join(at, file)),
        read: (file) => (existsSync(join(at, file)) ? readFileSync(join(at, file), 'utf8') : undefined),
        packageManager: manifest.packageManager,
      };
    if (at === dirname(at)) return undefined;
  }
}
