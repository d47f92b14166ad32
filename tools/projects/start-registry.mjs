import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Starts the registry of `registry.mjs` in a process of its own: this one waits for its commands and serves nothing. */
export async function startRegistry(tarball) {
  const real = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  const child = fork(fileURLToPath(new URL('registry.mjs', import.meta.url)), [tarball, real]);
  const [address] = await once(child, 'message');
  return { address, stop: () => child.disconnect() };
}
