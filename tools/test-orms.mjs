/**
 * `npm run test:orms`: what docs/orms.md shows of libraries that need Node 22 or a heavy install. Makes a scratch project from
 * the registry and the packed tarball, with the newest version of each, and runs `tools/orms/main.ts` in it on Node 22. `--keep` leaves its folder.
 */
import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFolder } from './projects/node-versions.mjs';
import { cleanEnvironment, Shell } from './projects/shell.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGES = [
  '@langchain/core@1',
  '@langchain/langgraph-checkpoint@1',
  '@langchain/langgraph-checkpoint-postgres@1',
  '@mikro-orm/core@7',
  '@mikro-orm/nestjs@7',
  '@mikro-orm/postgresql@7',
  '@nestjs/common@12',
  '@nestjs/core@12',
  '@nestjs/platform-express@12',
  '@nestjs/terminus@12',
  '@prisma/adapter-pg@7',
  '@prisma/client@7',
  '@types/node@22',
  '@types/pg@8',
  '@willsoto/nestjs-prometheus@6',
  'graphile-worker@0.18',
  'kysely@0.29',
  'pg@8',
  'pg-boss@12',
  'prisma@7',
  'prom-client@15',
  'reflect-metadata',
  'rxjs@7',
  'ts-sql-query@1',
  'typescript@6.0',
  'umzug@3',
  'undici@7',
  'zapatos@6',
];

const name = readdirSync(join(ROOT, 'dist')).find((file) => file.endsWith('.tgz'));
if (name === undefined) {
  console.error('There is no tarball in dist/: run `npm run pack` first');
  process.exit(2);
}
const { PostgresServer } = await import('../dist/package/lib/testing/index.js');
const folder = mkdtempSync(join(tmpdir(), 'nestjs-pooling-orms-'));
const server = await PostgresServer.start();
try {
  const bin = nodeFolder(22, folder, new Shell(folder, cleanEnvironment(), console.log));
  if (bin === undefined) throw new Error('npm has no Node 22 for this machine');
  const env = cleanEnvironment({
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    DATABASE_URL: await server.createDatabase('orms'),
    // Generating needs no engine; without this it would be downloaded.
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  });
  const shell = new Shell(folder, env, console.log);
  cpSync(join(ROOT, 'tools/orms'), folder, { recursive: true });
  copyFileSync(join(ROOT, 'test/orms/graphile-worker.service.ts'), join(folder, 'graphile-worker.service.ts'));
  const jobs = readFileSync(join(ROOT, 'test/orms/pg-boss.service.ts'), 'utf8');
  const newer = jobs.replace(/^import PgBoss from 'pg-boss'.*$/m, "import { PgBoss } from 'pg-boss';");
  if (newer === jobs) throw new Error('pg-boss is imported in another way now');
  writeFileSync(join(folder, 'pg-boss.service.ts'), newer);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  // Prisma's own scripts would download engines that nothing here needs.
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts'];
  shell.run('npm', ['install', ...quiet, join(ROOT, 'dist', name), ...PACKAGES]);
  shell.run('npx', ['--no-install', 'prisma', 'generate', '--schema', 'schema.prisma']);
  shell.run('npx', ['--no-install', 'tsc']);
  console.log(shell.run('node', ['dist/main.js']));
} finally {
  await server.close();
  if (process.argv.includes('--keep')) console.log(`kept in ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
