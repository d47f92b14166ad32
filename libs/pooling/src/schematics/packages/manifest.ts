import { parseJson } from '../tree.js';
import type { NeededPackage } from './needed-packages.js';

interface Dependencies {
  [name: string]: string;
}

/** Adds a package; in order, where the others are. */
function added(dependencies: Dependencies, { name, range }: NeededPackage): Dependencies {
  const names = Object.keys(dependencies);
  const isSorted = names.every((each, index) => index === 0 || names[index - 1]! < each);
  const entries = [...Object.entries(dependencies), [name, range] as const];
  return Object.fromEntries(isSorted ? entries.toSorted(([a], [b]) => (a < b ? -1 : 1)) : entries);
}

/** package.json with more packages, otherwise as it was written. */
export function addPackages(text: string, packages: readonly NeededPackage[]): string {
  const manifest = parseJson<{ dependencies?: Dependencies; devDependencies?: Dependencies }>(text);
  for (const each of packages) {
    const field = each.isForDevelopment ? 'devDependencies' : 'dependencies';
    manifest[field] = added(manifest[field] ?? {}, each);
  }
  const indent = /^\uFEFF?\{\s*\n([ \t]+)/.exec(text)?.[1] ?? 2;
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const mark = text.startsWith('\uFEFF') ? '\uFEFF' : '';
  return mark + JSON.stringify(manifest, null, indent).replaceAll('\n', newline) + (/\s$/.test(text) ? newline : '');
}
