import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** `PIPELINING=16 npm test` runs everything with pipelining as the default, at that depth. */
const pipelining = {
  name: 'pipelining',
  enforce: 'pre' as const,
  transform(code: string, id: string): string | undefined {
    const depth = process.env['PIPELINING'];
    if (depth === undefined || !id.endsWith('/libs/pooling/src/database/options.ts')) return undefined;
    const changed = code.replace('pipelining: false as ', `pipelining: { depth: ${Number(depth)} } as `);
    if (changed === code) throw new Error('the default of pipelining stands elsewhere now');
    return changed;
  },
};

export default defineConfig({
  plugins: [pipelining],
  resolve: { tsconfigPaths: true },
  test: {
    globals: true,
    include: ['libs/**/*.spec.ts', 'apps/**/*.spec.ts', 'test/**/*.spec.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Most tests wait for a server or a socket: two at a time keep two cores busy, and more would only disturb each other.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism() - 1)),
    testTimeout: 20_000,
    hookTimeout: 60_000,
    coverage: { include: ['libs/*/src/**/*.ts'] },
  },
});
