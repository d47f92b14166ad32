import { spawnSync } from 'node:child_process';
import { Client } from 'pg';
import { cloneDatabase } from 'nestjs-pooling/testing';
import { inject } from 'vitest';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

let template: TestDatabase;
beforeAll(async () => {
  template = await createTestDatabase();
  await template.query('create table entry as select 1 as id');
});
afterAll(() => template.drop());

async function run(url: string, text: string): Promise<unknown[]> {
  const client = new Client(url);
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<object>(text)).rows;
  } finally {
    await client.end();
  }
}

/** The names of the template's clones that there are. */
async function clones(): Promise<string[]> {
  const rows = await run(
    inject('databaseUrl'),
    `select datname as name from pg_database where starts_with(datname, '${template.name.slice(0, 40)}') and datname <> '${template.name}'`,
  );
  return rows.map((row) => (row as { name: string }).name);
}

const clone = (url = inject('databaseUrl')): ReturnType<typeof cloneDatabase> =>
  cloneDatabase(url, { template: template.name });

it('copies a database that is gone with its end', async () => {
  const copy = await clone();
  expect(await run(copy.url, 'select id from entry')).toEqual([{ id: 1 }]);
  await run(copy.url, 'insert into entry values (2)');
  expect(await template.query('select id from entry')).toEqual([{ id: 1 }]);
  await copy.drop();
  await copy.drop();
  expect(await clones()).toEqual([]);
});

it('drops it while somebody is connected, and by await using', async () => {
  {
    await using copy = await clone();
    const client = new Client(copy.url);
    client.on('error', () => undefined);
    await client.connect();
  }
  expect(await clones()).toEqual([]);
});

it('gives each of many workers at the same time one of its own, with the address of the template as well', async () => {
  const copies = await Promise.all(Array.from({ length: 4 }, () => clone(template.url)));
  expect(new Set(copies.map(({ url }) => url)).size).toBe(4);
  await Promise.all(copies.map(({ url }, at) => run(url, `insert into entry values (${at + 10})`)));
  for (const [at, { url }] of copies.entries()) {
    expect(await run(url, 'select id from entry order by id')).toEqual([{ id: 1 }, { id: at + 10 }]);
  }
  await Promise.all(copies.map((copy) => copy.drop()));
});

it('cleans up what a killed run has left, and leaves alone what somebody uses', async () => {
  const mine = await clone();
  const program = `
    import { cloneDatabase } from 'nestjs-pooling/testing';
    await cloneDatabase(process.env.SERVER, { template: process.env.TEMPLATE });
    process.kill(process.pid, 'SIGKILL');
  `;
  const loader = new URL('../../../../test/support/typescript.mjs', import.meta.url).href;
  const { signal } = spawnSync(process.execPath, ['--import', loader, '--input-type=module', '--eval', program], {
    env: { ...process.env, SERVER: inject('databaseUrl'), TEMPLATE: template.name },
    encoding: 'utf8',
  });
  expect(signal).toBe('SIGKILL');
  expect(await clones()).toHaveLength(2);
  // The server notices that the process is gone when it next reads from it.
  await vi.waitFor(
    async () => {
      const other = await clone();
      const left = await clones();
      await other.drop();
      expect(left).toHaveLength(2);
    },
    { timeout: 15_000, interval: 100 },
  );
  expect(await run(mine.url, 'select id from entry')).toEqual([{ id: 1 }]);
  await mine.drop();
});

it('fails as the server says, and leaves nothing', async () => {
  await expect(cloneDatabase(inject('databaseUrl'), { template: 'no_such_database' })).rejects.toMatchObject({
    code: '3D000',
  });
  await expect(cloneDatabase(inject('databaseUrl'), { template: '' })).rejects.toMatchObject({
    code: 'ERR_POOL_OPTIONS_INVALID',
  });
  expect(await clones()).toEqual([]);
});

it('takes a template with a long name, in whose clones’ names it is cut', async () => {
  const long = `Über "${'x'.repeat(50)}`;
  await run(inject('databaseUrl'), `create database "${long.replaceAll('"', '""')}" template "${template.name}"`);
  const copy = await cloneDatabase(inject('databaseUrl'), { template: long });
  expect(await run(copy.url, 'select id from entry')).toEqual([{ id: 1 }]);
  await copy.drop();
  await run(inject('databaseUrl'), `drop database "${long.replaceAll('"', '""')}"`);
});
