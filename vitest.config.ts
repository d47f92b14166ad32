import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';

/** `npm run test:pipelining` runs what concerns the database once more, with other defaults. */
const PIPELINING = {
  alias: [
    {
      find: /^\.\/database-defaults\.js$/,
      replacement: join(import.meta.dirname, 'test/support/pipelining/database-defaults.ts'),
    },
  ],
  setupFiles: ['test/support/pipelining/set-up.ts'],
  // What the defaults are is none of its business.
  exclude: ['**/options.spec.ts', '**/reference.spec.ts'],
};
const USUAL: typeof PIPELINING = { alias: [], setupFiles: [], exclude: [] };

function variantOf(mode: string): typeof PIPELINING {
  return mode === 'pipelining' ? PIPELINING : USUAL;
}

export default defineConfig(({ mode }) => ({
  resolve: { tsconfigPaths: true, alias: variantOf(mode).alias },
  oxc: { include: /\.(?:[cm]?ts|[jt]sx)$/ },
  test: {
    globals: true,
    include: ['libs/**/*.spec.ts', 'apps/**/*.spec.ts', 'test/**/*.spec.ts'],
    exclude: [...configDefaults.exclude, ...variantOf(mode).exclude],
    setupFiles: ['test/support/patience.ts', ...variantOf(mode).setupFiles],
    expect: { poll: { timeout: 30_000 } },
    globalSetup: ['test/support/global-setup.ts'],
    // Most tests wait for a server or a socket: two at a time keep two cores busy, and more would only disturb each other.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism() - 1)),
    testTimeout: 60_000,
    hookTimeout: 120_000,
    coverage: {
      include: ['libs/*/src/**/*.ts'],
      // What the rooms' own tests reach, rounded down: those beside them, of `core` the engine's, and of `database` those of its
      // wings. `npm run coverage` runs them; `npm test -- --coverage` reaches more.
      thresholds: {
        'libs/pooling/src/core/**/*.ts': { statements: 93, branches: 90, functions: 90, lines: 94 },
        'libs/pooling/src/database/**/*.ts': { statements: 91, branches: 88, functions: 91, lines: 93 },
        'libs/pooling/src/http/**/*.ts': { statements: 93, branches: 90, functions: 92, lines: 95 },
      },
    },
  },
}));
