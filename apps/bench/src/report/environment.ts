import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);

/** What everything ran on: no names of machines, users or folders. */
export interface Environment {
  readonly node: string;
  readonly system: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryGiB: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** The version of an installed package; not every package lets its `package.json` be imported. */
function versionOf(name: string): string {
  const files = (require.resolve.paths(name) ?? []).map((folder) => join(folder, name, 'package.json'));
  const found = files.find((file) => existsSync(file));
  return found === undefined ? '' : (JSON.parse(readFileSync(found, 'utf8')) as { version: string }).version;
}

/** Describes the machine and the versions of packages. */
export function environment(packages: readonly string[], others: Readonly<Record<string, string>> = {}): Environment {
  return {
    node: process.version,
    system: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? '',
    cpus: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    versions: { ...Object.fromEntries(packages.map((name) => [name, versionOf(name)])), ...others },
  };
}

/** The same in one line. */
export function environmentLine({ node, system, cpu, cpus: count, memoryGiB, versions }: Environment): string {
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `Node ${node}, ${system}, ${count} × ${cpu}, ${memoryGiB} GiB; ${packages.join(', ')}`;
}
