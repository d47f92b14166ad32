import { folderOf, joinPath } from './tree.js';

/** What tsconfig.json says of where modules are. */
export interface ModuleSettings {
  readonly baseUrl?: string;
  readonly paths?: Readonly<Record<string, readonly string[]>>;
}

/** What a pattern of `paths` leads to for an import; empty where it doesn't fit. */
function mapped(specifier: string, pattern: string, targets: readonly string[]): readonly string[] {
  const [before = '', after] = pattern.split('*');
  if (after === undefined) return pattern === specifier ? targets : [];
  const isLongEnough = specifier.length >= before.length + after.length;
  if (!isLongEnough || !specifier.startsWith(before) || !specifier.endsWith(after)) return [];
  const part = specifier.slice(before.length, specifier.length - after.length);
  return targets.map((target) => target.replace('*', () => part));
}

/** The files of the project that an import may mean, in the order in which TypeScript looks for them. */
export function filesOf(from: string, specifier: string, { baseUrl, paths = {} }: ModuleSettings): string[] {
  const found = specifier.startsWith('.')
    ? [joinPath(folderOf(from), specifier)]
    : [
        ...Object.entries(paths).flatMap(([pattern, targets]) => mapped(specifier, pattern, targets)),
        ...(baseUrl === undefined ? [] : [specifier]),
      ].map((path) => joinPath(baseUrl ?? '', path));
  return found.flatMap((path) => [`${path.replace(/\.[cm]?[jt]s$/, '')}.ts`, `${path}.ts`, joinPath(path, 'index.ts')]);
}
