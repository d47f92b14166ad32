import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** What each room of the library may not import, and what it may: the table of the architecture. */
const FLOORS: Readonly<Record<string, { readonly refused: readonly string[]; readonly allowed: readonly string[] }>> = {
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
      '../database/options.js',
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
      '@nestjs/common',
      'prom-client',
      '../http/options.js',
      '../advice/sizing.js',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['pg', 'kysely', 'node:net', '../core/clock.js'],
  },
  http: {
    refused: [
      'pg',
      'kysely',
      '@nestjs/common',
      'prom-client',
      '../database/options.js',
      '../advice/sizing.js',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['undici', 'node:tls', '../core/clock.js'],
  },
  advice: {
    refused: [
      '@nestjs/core',
      'prom-client',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['../core/clock.js', '../database/options.js', '../http/options.js'],
  },
  routes: {
    refused: [
      'pg',
      'kysely',
      '../database/options.js',
      '../health/health-source.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['@nestjs/common', '../core/errors.js'],
  },
  health: {
    refused: ['pg', 'undici', '../metrics/samples.js', '../console/page.js', '../module/tokens.js', '../index.js'],
    allowed: ['@nestjs/common', '@nestjs/terminus', '../core/statistics.js', '../http/statistics.js'],
  },
  metrics: {
    refused: ['pg', 'undici', '../health/health-source.js', '../console/page.js', '../module/tokens.js', '../index.js'],
    allowed: ['prom-client', '@willsoto/nestjs-prometheus', '../core/statistics.js', '../http/statistics.js'],
  },
  console: {
    refused: [
      'pg',
      'undici',
      '../health/health-source.js',
      '../metrics/samples.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['@nestjs/common', '../core/statistics.js', '../advice/sizing.js'],
  },
  testing: {
    refused: ['undici', 'kysely', '@nestjs/testing', '../database/options.js', '../module/tokens.js', '../index.js'],
    allowed: ['pg', '../core/clock.js'],
  },
  schematics: {
    refused: [
      '@angular-devkit/schematics',
      '@nestjs/common',
      'pg',
      '../core/clock.js',
      '../module/tokens.js',
      '../index.js',
    ],
    allowed: ['typescript', 'node:fs'],
  },
  module: {
    refused: [],
    allowed: [
      '@nestjs/common',
      'kysely',
      'undici',
      '../core/errors.js',
      '../database/options.js',
      '../metrics/samples.js',
    ],
  },
};

const ROOT = resolve(import.meta.dirname, '..');

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
}

let folder: string;
/** The files of the copy in which the linter found an import that its floor may not have. */
let refused: Set<string>;

function fixture(room: string, kind: 'refused' | 'allowed', index: number): string {
  return `libs/pooling/src/${room}/${kind}-${index}.ts`;
}

async function lint(): Promise<readonly Diagnostic[]> {
  const program = join(ROOT, 'node_modules/.bin/oxlint');
  const output = await new Promise<string>((done, failed) => {
    execFile(program, ['--format', 'json', 'libs'], { cwd: folder, maxBuffer: 2 ** 26 }, (error, stdout) => {
      if (stdout === '') failed(error ?? new Error('the linter said nothing'));
      else done(stdout);
    });
  });
  return (JSON.parse(output) as { diagnostics: Diagnostic[] }).diagnostics;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floors-'));
  await copyFile(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  for (const [room, imports] of Object.entries(FLOORS)) {
    for (const kind of ['refused', 'allowed'] as const) {
      for (const [index, specifier] of imports[kind].entries()) {
        const file = join(folder, fixture(room, kind, index));
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, `import * as it from '${specifier}';\nexport const all = it;\n`);
      }
    }
  }
  const diagnostics = await lint();
  refused = new Set(
    diagnostics.filter(({ code }) => code.includes('no-restricted-imports')).map(({ filename }) => filename),
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the floors of the house', () => {
  for (const [room, imports] of Object.entries(FLOORS)) {
    it.each(imports.refused.map((specifier, index) => ({ specifier, index })))(
      `${room}/ may not import $specifier`,
      ({ index }) => {
        expect(refused).toContain(fixture(room, 'refused', index));
      },
    );

    it.each(imports.allowed.map((specifier, index) => ({ specifier, index })))(
      `${room}/ may import $specifier`,
      ({ index }) => {
        expect(refused).not.toContain(fixture(room, 'allowed', index));
      },
    );
  }
});
