import { execFile } from 'node:child_process';
import { access, copyFile, cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** What each room of the library may not import, and what it may: the table of the architecture, by examples. */
const ROOMS: Readonly<Record<string, { readonly refused: readonly string[]; readonly allowed: readonly string[] }>> = {
  core: {
    refused: [
      'pg',
      'pg-cursor',
      'kysely',
      'undici',
      '@nestjs/common',
      '@willsoto/nestjs-prometheus',
      'prom-client',
      '@opentelemetry/api',
      'zod',
      '../database/pg.js',
      '../http/options.js',
      '../advice/sizing.js',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['node:util', './clock.js'],
  },
  database: {
    refused: [
      'undici',
      'kysely',
      '@nestjs/common',
      'prom-client',
      '../http/options.js',
      '../advice/sizing.js',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
      './kysely/kysely-driver.js',
    ],
    allowed: ['pg', 'node:net', '../core/clock.js', './connection/connection.js', './options/options.js'],
  },
  'database/connection': {
    refused: ['kysely', 'undici', '../database-pool.js', '../database-leases.js', '../kysely/kysely-driver.js'],
    allowed: ['pg', '../../core/lease.js', '../wire/wire.js', '../query/statement.js', '../options/options.js'],
  },
  'database/wire': {
    refused: ['../database-pool.js', '../database-leases.js', '../connection/connection.js', '../options/options.js'],
    allowed: ['pg', '../pg-internals.js', '../../core/lease.js', '../query/statement.js'],
  },
  'database/query': {
    refused: [
      '../database-pool.js',
      '../database-leases.js',
      '../connection/connection.js',
      '../kysely/kysely-driver.js',
    ],
    allowed: ['pg', '../pg-internals.js', '../../core/lease.js', '../wire/wire.js'],
  },
  'database/options': {
    refused: [
      'undici',
      '../database-pool.js',
      '../connection/connection.js',
      '../wire/wire.js',
      '../query/statement.js',
    ],
    allowed: ['pg', 'kysely', '../pg-internals.js', '../../core/validation.js'],
  },
  'database/fleet': {
    refused: ['pg', 'kysely', '../database-pool.js', '../connection/connection.js', '../options/options.js'],
    allowed: ['node:crypto', '../../core/clock.js'],
  },
  'database/kysely': {
    refused: ['undici', '@nestjs/common', '../../http/options.js'],
    allowed: ['kysely', '../database-pool.js', '../connection/connection.js'],
  },
  http: {
    refused: [
      'pg',
      'kysely',
      '@nestjs/common',
      'prom-client',
      '../database/pg.js',
      '../advice/sizing.js',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['undici', 'node:tls', '../core/clock.js', './pool/http-pool.js', './exchange/exchange.js'],
  },
  'http/exchange': {
    refused: ['pg', '../http-client.js', '../dispatcher.js'],
    allowed: ['undici', '../pool/http-pool.js', '../message/request.js', '../options.js'],
  },
  'http/pool': {
    refused: ['pg', '../http-client.js', '../exchange/exchange.js'],
    allowed: ['undici', '../message/request.js', '../options.js'],
  },
  'http/message': {
    refused: ['pg', '../http-client.js', '../exchange/exchange.js', '../pool/http-pool.js'],
    allowed: ['undici', '../options.js', '../../core/errors.js'],
  },
  advice: {
    refused: [
      '@nestjs/core',
      'prom-client',
      'pg',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['../core/clock.js', '../database/options/options.js', '../http/options.js'],
  },
  routes: {
    refused: [
      'pg',
      'kysely',
      '../database/pg.js',
      '../http/options.js',
      '../health/health-source.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['@nestjs/common', '../core/errors.js'],
  },
  health: {
    refused: [
      'pg',
      'undici',
      'prom-client',
      '../metrics/samples.js',
      '../console/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['@nestjs/common', '@nestjs/terminus', '../core/statistics.js', '../http/pool/statistics.js'],
  },
  metrics: {
    refused: [
      'pg',
      'undici',
      '@nestjs/terminus',
      '../health/health-source.js',
      '../console/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['prom-client', '@willsoto/nestjs-prometheus', '../core/statistics.js', '../http/pool/statistics.js'],
  },
  console: {
    refused: [
      'pg',
      'undici',
      'prom-client',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['@nestjs/common', '../core/statistics.js', '../advice/sizing.js'],
  },
  testing: {
    refused: ['undici', 'kysely', '@nestjs/testing', '../database/pg.js', '../module/tokens.js', '../index.js'],
    allowed: ['pg', '../core/clock.js'],
  },
  'testing/transaction': {
    refused: ['undici', 'kysely', '../../module/tokens.js', '../../index.js'],
    allowed: ['../../core/clock.js', '../../database/pg.js'],
  },
  module: {
    refused: ['pg', 'prom-client', '../testing/index.js', '../index.js'],
    allowed: [
      '@nestjs/common',
      'kysely',
      'undici',
      '../core/errors.js',
      '../database/options/options.js',
      '../metrics/samples.js',
    ],
  },
};

const ROOT = resolve(import.meta.dirname, '..');
const SOURCE = 'libs/pooling/src';

interface Violation {
  readonly from: string;
  readonly rule: { readonly name: string };
}

let folder: string;
let violations: readonly Violation[];

function planted(room: string, kind: 'refused' | 'allowed', index: number): string {
  return `${SOURCE}/${room}/${kind}-${index}.ts`;
}

/** What the rules of the repository say of the library, as it stands in the copy. */
async function check(): Promise<readonly Violation[]> {
  const program = join(ROOT, 'node_modules/.bin/depcruise');
  const output = await new Promise<string>((done, failed) => {
    execFile(
      program,
      ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', SOURCE],
      { cwd: folder, maxBuffer: 2 ** 28 },
      (error, stdout) => {
        if (stdout === '') failed(error ?? new Error('the checker said nothing'));
        else done(stdout);
      },
    );
  });
  return (JSON.parse(output) as { summary: { violations: Violation[] } }).summary.violations;
}

function foundIn(file: string): string[] {
  return violations.filter(({ from }) => from === file).map(({ rule }) => rule.name);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floors-'));
  await cp(join(ROOT, SOURCE), join(folder, SOURCE), { recursive: true });
  for (const file of ['.dependency-cruiser.mjs', 'tsconfig.json', 'package.json']) {
    await copyFile(join(ROOT, file), join(folder, file));
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const [room, imports] of Object.entries(ROOMS)) {
    for (const kind of ['refused', 'allowed'] as const) {
      for (const [index, specifier] of imports[kind].entries()) {
        // A wrong path would be refused as well, and prove nothing.
        if (specifier.startsWith('.')) await access(join(folder, SOURCE, room, specifier.replace(/\.js$/, '.ts')));
        const file = join(folder, planted(room, kind, index));
        await writeFile(file, `import type * as it from '${specifier}';\nexport type All = typeof it;\n`);
      }
    }
  }
  await writeFile(
    join(folder, SOURCE, 'core/one.ts'),
    "import type { Two } from './two.js';\nexport type One = Two | 1;\n",
  );
  await writeFile(
    join(folder, SOURCE, 'core/two.ts'),
    "import type { One } from './one.js';\nexport type Two = One | 2;\n",
  );
  violations = await check();
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the floors of the house', () => {
  for (const [room, imports] of Object.entries(ROOMS)) {
    it.each(imports.refused.map((specifier, index) => ({ specifier, index })))(
      `${room}/ may not import $specifier, not even its types`,
      ({ index }) => {
        expect(foundIn(planted(room, 'refused', index))).toEqual(['not-in-allowed']);
      },
    );

    it.each(imports.allowed.map((specifier, index) => ({ specifier, index })))(
      `${room}/ may import $specifier`,
      ({ index }) => {
        expect(foundIn(planted(room, 'allowed', index))).toEqual([]);
      },
    );
  }

  it('has no circle of imports, types included', () => {
    const circles = violations.filter(({ rule }) => rule.name === 'no-circle').map(({ from }) => from);
    expect(circles).toEqual([expect.stringMatching(/core\/(?:one|two)\.ts$/)]);
  });

  it('is kept by every file of the library', () => {
    const own = violations.filter(({ from }) => !/\/(?:(?:refused|allowed)-\d+|one|two)\.ts$/.test(from));
    expect(own).toEqual([]);
  });
});
