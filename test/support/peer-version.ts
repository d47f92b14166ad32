import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The version of a package that the tests run with. Not every one lets its package.json be imported. */
export function versionOf(name: string): string {
  const inside = createRequire(import.meta.url).resolve(name);
  const folder = inside.slice(0, inside.lastIndexOf(`node_modules/${name}/`));
  const packageFile = readFileSync(`${folder}node_modules/${name}/package.json`, 'utf8');
  return (JSON.parse(packageFile) as { version: string }).version;
}

/** Whether a package is of that version (`8.22.0`) or of a later one: for what came with it. */
export function isAtLeast(name: string, version: string): boolean {
  const its = versionOf(name).split('.').map(Number.parseFloat);
  const wanted = version.split('.').map(Number.parseFloat);
  const at = wanted.findIndex((part, index) => part !== its[index]);
  return at < 0 || (its[at] as number) > (wanted[at] as number);
}
