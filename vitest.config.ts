import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/** `npm run test:pipelining` runs what concerns the database once more, with pipelining as the default. */
const pipelining = {
  name: 'pipelining',
  enforce: 'pre' as const,
  transform(code: string, id: string): string | undefined {
    if (!id.endsWith('/libs/pooling/src/database/options/options.ts')) return undefined;
    const changed = code.replace('pipelining: false as ', 'pipelining: {} as ');
    if (changed === code) throw new Error('the default of pipelining stands elsewhere now');
    return changed;
  },
};

export default defineConfig(({ mode }) => ({
  plugins: mode === 'pipelining' ? [pipelining] : [],
  resolve: { tsconfigPaths: true },
  oxc: { include: /\.(?:[cm]?ts|[jt]sx)$/ },
  test: {
    globals: true,
    include: ['libs/**/*.spec.ts', 'apps/**/*.spec.ts', 'test/**/*.spec.ts'],
    // What the defaults are is none of its business.
    exclude: [
      ...configDefaults.exclude,
      ...(mode === 'pipelining' ? ['**/options.spec.ts', '**/reference.spec.ts'] : []),
    ],
    globalSetup: ['test/support/global-setup.ts'],
    // Most tests wait for a server or a socket: two at a time keep two cores busy, and more would only disturb each other.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism() - 1)),
    testTimeout: 20_000,
    hookTimeout: 60_000,
    coverage: {
      include: ['libs/*/src/**/*.ts'],
      // What the tests of the engine and of `core` reach by themselves, rounded down.
      thresholds: { 'libs/pooling/src/core/**/*.ts': { statements: 93, branches: 90, functions: 90, lines: 94 } },
    },
  },
}));
