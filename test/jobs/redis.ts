import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Redis' program; `undefined` where it isn't installed. */
export function findRedis(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders
    .map((folder) => join(folder, 'redis-server'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** A Redis that keeps nothing. */
export interface Redis extends AsyncDisposable {
  readonly port: number;
}

export async function startRedis(program: string): Promise<Redis> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-pooling-redis-'));
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const redis = spawn(program, settings, { stdio: ['ignore', 'pipe', 'inherit'] });
  // A test that was broken off must not leave it behind.
  const kill = (): boolean => redis.kill();
  process.once('exit', kill);
  const ended = once(redis, 'exit');
  let printed = '';
  await new Promise<void>((resolve, reject) => {
    redis.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      if (/ready to accept connections/i.test(printed)) resolve();
    });
    void ended.then(() => reject(new Error(`Redis doesn't start:\n${printed}`)));
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      process.off('exit', kill);
      redis.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
