import { execFile } from 'node:child_process';
import { access, chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { runTypeScript, type Child } from '#test/support/child.js';
import { becomes } from './delay.js';
import { PostgresServer } from './postgres-server.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 30_000 });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function ask<Row>(url: string, sql: string): Promise<Row[]> {
  const client = await connected(url);
  try {
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end();
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A process that has ended may be waiting for its parent to ask how. */
async function isAlive(pid: number): Promise<boolean> {
  const { stdout } = await run('ps', ['-o', 'stat=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout !== '' && !stdout.startsWith('Z');
}

async function postmasterPid(dataDirectory: string): Promise<number> {
  return Number((await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

describe('PostgresServer, running', { timeout: 90_000 }, () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start({
      authentication: 'trust',
      maxConnections: 13,
      settings: { 'lab.word': 'hello' },
    });
  });

  afterAll(() => server.close());

  it('answers, with the settings that were asked for, and never runs as root', async () => {
    expect(
      await ask(server.url, "SELECT current_setting('lab.word') AS word, current_setting('max_connections') AS max"),
    ).toEqual([{ word: 'hello', max: '13' }]);
    const status = await readFile(`/proc/${await postmasterPid(server.dataDirectory)}/status`, 'utf8').catch(() => '');
    expect(status).not.toMatch(/^Uid:\s+0\b/m);
  });

  it('opens no socket but its port on the loopback interface', async () => {
    expect(await ask(server.url, 'SHOW unix_socket_directories')).toEqual([{ unix_socket_directories: '' }]);
    expect(await ask(server.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
  });

  it('makes and drops databases', async () => {
    const url = await server.createDatabase('Laboratory "1"');
    const client = await connected(url);
    expect((await client.query('SELECT current_database() AS name')).rows).toEqual([{ name: 'Laboratory "1"' }]);
    await server.dropDatabase('Laboratory "1"');
    await expect(connected(url)).rejects.toMatchObject({ code: '3D000' });
    await client.end().catch(() => undefined);
  });

  it('shows the connections of clients, and not its own', async () => {
    const client = await connected(`${server.url}?application_name=guest`);
    await client.query('SELECT 42');
    expect(await server.backends()).toEqual([
      {
        pid: expect.any(Number),
        user: 'postgres',
        database: 'postgres',
        applicationName: 'guest',
        state: 'idle',
        query: 'SELECT 42',
        clientPort: expect.any(Number),
        startedAt: expect.any(Date),
      },
    ]);
    await client.end();
    expect(await becomes(async () => (await server.backends()).length === 0, 30_000)).toBe(true);
  });

  it('ends the connections that are chosen, and waits until they are gone', async () => {
    const [first, second] = [
      await connected(`${server.url}?application_name=first`),
      await connected(`${server.url}?application_name=second`),
    ];
    expect(await server.terminateBackends((backend) => backend.applicationName === 'first')).toBe(1);
    expect((await server.backends()).map((backend) => backend.applicationName)).toEqual(['second']);
    await expect(first.query('SELECT 1')).rejects.toThrow(/terminat|not queryable|Connection/);
    await expect(second.query('SELECT 1')).resolves.toMatchObject({ rowCount: 1 });
    expect(await server.terminateBackends()).toBe(1);
    expect(await server.backends()).toEqual([]);
  });

  it.each(['fast', 'immediate', 'smart'] as const)(
    'stops in %s mode and comes back on the same port and data',
    async (mode) => {
      const { port } = server;
      await ask(server.url, `CREATE TABLE kept_${mode} AS SELECT 1 AS one`);
      await server.stop(mode);
      expect(server.running).toBe(false);
      await expect(connected(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await server.stop(mode);
      await server.start();
      await server.start();
      expect(server.port).toBe(port);
      expect(await ask(server.url, `SELECT one FROM kept_${mode}`)).toEqual([{ one: 1 }]);
    },
  );

  it('restarts', async () => {
    const before = await postmasterPid(server.dataDirectory);
    await server.restart('immediate');
    expect(await postmasterPid(server.dataDirectory)).not.toBe(before);
    expect(await ask(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('freezes and goes on', async () => {
    const client = await connected(server.url);
    await server.pause();
    await server.pause();
    let answered = false;
    const answer = client.query('SELECT 1').then(() => (answered = true));
    const silent = new Client({ connectionString: server.url, connectionTimeoutMillis: 100 });
    silent.on('error', () => undefined);
    await expect(silent.connect()).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    await server.resume();
    await answer;
    await client.end();
  });

  it('stops though it is frozen and has clients', async () => {
    const client = await connected(server.url);
    await server.pause();
    await server.stop();
    await server.start();
    expect(await ask(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await client.end().catch(() => undefined);
  });
});

describe('PostgresServer, starting and ending', { timeout: 90_000 }, () => {
  let folder: string;
  const children: Child[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postgres-server-spec-'));
    await chmod(folder, 0o755);
  });

  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.process.kill('SIGKILL');
      await child.ended;
    }
    await rm(folder, { recursive: true, force: true });
  });

  /** A process that starts a server on `folder`, prints its port and stays. */
  async function startInChild(
    options: object,
  ): Promise<{ child: Child; port: number; directory: string; pid: number }> {
    const program = new URL('../../../../test/support/programs/hold-server.ts', import.meta.url);
    const child = runTypeScript(program, { args: [JSON.stringify(options)] });
    children.push(child);
    const [, port, directory] = await child.prints(/port=(\d+) directory=(.*)\n/);
    return {
      child,
      port: Number(port),
      directory: directory as string,
      pid: await postmasterPid(directory as string),
    };
  }

  it('asks for a password unless told otherwise, and knows it again at the next start', async () => {
    const dataDirectory = join(folder, 'data');
    const first = await PostgresServer.start({ dataDirectory });
    await ask(first.url, 'CREATE TABLE kept AS SELECT 7 AS seven');
    await expect(connected(`postgres://postgres:wrong@127.0.0.1:${first.port}/postgres`)).rejects.toMatchObject({
      code: '28P01',
    });
    await first.close();

    await using second = await PostgresServer.start({ dataDirectory });
    expect(await ask(second.url, 'SELECT seven FROM kept')).toEqual([{ seven: 7 }]);
    expect(await ask(second.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
  });

  it('uses the password that it is given', async () => {
    await using server = await PostgresServer.start({ password: 'a:b/c@d' });
    expect(new URL(server.url).password).toBe('a%3Ab%2Fc%40d');
    expect(await ask(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('removes the data of a throw-away server when closed', async () => {
    const server = await PostgresServer.start({ authentication: 'trust' });
    await server.close();
    expect(await exists(server.dataDirectory)).toBe(false);
    await server.close();
  });

  it('says that the port is in use, and leaves nothing behind', async () => {
    const occupant = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => occupant.once('listening', resolve));
    const { port } = occupant.address() as AddressInfo;
    await expect(PostgresServer.start({ port, authentication: 'trust' })).rejects.toThrow(
      new RegExp(`port ${port}[\\s\\S]*Address already in use`),
    );
    await new Promise((resolve) => occupant.close(resolve));
  });

  it('says which setting is wrong', async () => {
    await expect(
      PostgresServer.start({ authentication: 'trust', settings: { shared_buffers: 'plenty' } }),
    ).rejects.toThrow(/shared_buffers/);
  });

  it('starts again where another version of the folder was never finished, and over a lock file of nobody', async () => {
    const dataDirectory = join(folder, 'data');
    const first = await PostgresServer.start({ dataDirectory, authentication: 'trust' });
    await first.close();
    // A living process that isn't PostgreSQL: process ids are used again.
    await writeFile(join(dataDirectory, 'postmaster.pid'), `${process.pid}\n${dataDirectory}\n`);
    await writeFile(`${dataDirectory}.unfinished-999999999`, '');
    await using second = await PostgresServer.start({ dataDirectory });
    expect(await ask(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(await exists(`${dataDirectory}.unfinished-999999999`)).toBe(false);
  });

  it('refuses a data folder on which a living process runs a server', async () => {
    const dataDirectory = join(folder, 'data');
    await using first = await PostgresServer.start({ dataDirectory, authentication: 'trust' });
    await expect(PostgresServer.start({ dataDirectory })).rejects.toThrow(
      `process ${process.pid} already runs PostgreSQL`,
    );
    expect(await ask(first.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)('ends when its parent ends by %s, data included', async (signal) => {
    const { child, directory, pid } = await startInChild({ authentication: 'trust' });
    child.process.kill(signal);
    await child.ended;
    expect(await becomes(async () => !(await isAlive(pid)), 30_000)).toBe(true);
    expect(await becomes(async () => !(await exists(directory)), 30_000)).toBe(true);
  });

  it('ends with its parent though it is frozen and has clients', async () => {
    const { child, port, pid } = await startInChild({ authentication: 'trust', pause: true });
    const client = new Client({ host: '127.0.0.1', port, user: 'postgres', connectionTimeoutMillis: 60_000 });
    client.on('error', () => undefined);
    const failure = client.connect().catch((error: Error) => error);
    child.process.kill('SIGKILL');
    expect(await becomes(async () => !(await isAlive(pid)), 30_000)).toBe(true);
    expect(await failure).toBeInstanceOf(Error);
  });

  it('lets a process end by itself that has stopped nothing', async () => {
    const { child, pid } = await startInChild({ authentication: 'trust', leave: true });
    expect(await child.ended).toEqual({ code: 0, signal: null });
    expect(await becomes(async () => !(await isAlive(pid)), 30_000)).toBe(true);
  });

  it('starts at once after a kill, on the same data', async () => {
    const dataDirectory = join(folder, 'data');
    const { child } = await startInChild({ dataDirectory, authentication: 'trust' });
    child.process.kill('SIGKILL');
    await child.ended;
    await using server = await PostgresServer.start({ dataDirectory });
    expect(await ask(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('ends a server whose watchdog was killed as well', async () => {
    const dataDirectory = join(folder, 'data');
    const { child, pid } = await startInChild({ dataDirectory, authentication: 'trust' });
    const { stdout } = await run('ps', ['-A', '-o', 'pid=,args=']);
    const watchdogs = stdout
      .split('\n')
      .filter((line) => line.includes(`nestjs-pooling-watchdog:${child.process.pid}`));
    for (const line of watchdogs) process.kill(Number(line.trim().split(' ')[0]), 'SIGKILL');
    child.process.kill('SIGKILL');
    await child.ended;
    expect(await isAlive(pid)).toBe(true);
    await using server = await PostgresServer.start({ dataDirectory });
    expect(await isAlive(pid)).toBe(false);
    expect(await ask(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('prints nothing by itself', async () => {
    const { child } = await startInChild({ authentication: 'trust', leave: true });
    await child.ended;
    expect(child.output()).toMatch(/^port=\d+ directory=.*\n$/);
  });

  describe.runIf(isRoot)('as root (needs to be root)', () => {
    it('keeps its data elsewhere when the user it runs as can not reach the folder', async () => {
      await chmod(folder, 0o700);
      const dataDirectory = join(folder, 'data');
      const first = await PostgresServer.start({ dataDirectory, authentication: 'trust' });
      const elsewhere = first.dataDirectory;
      try {
        expect(elsewhere).not.toBe(dataDirectory);
        await ask(first.url, 'CREATE TABLE kept AS SELECT 7 AS seven');
        await first.close();
        await using second = await PostgresServer.start({ dataDirectory });
        expect(second.dataDirectory).toBe(elsewhere);
        expect(await ask(second.url, 'SELECT seven FROM kept')).toEqual([{ seven: 7 }]);
      } finally {
        await first.close();
        await rm(elsewhere, { recursive: true, force: true });
      }
    });

    it('runs as the owner of data that exists', async () => {
      const dataDirectory = join(folder, 'data');
      await (await PostgresServer.start({ dataDirectory, authentication: 'trust' })).close();
      const nobody = Number((await run('id', ['-u', 'nobody'])).stdout);
      await run('chown', ['-R', 'nobody', dataDirectory]);
      await using server = await PostgresServer.start({ dataDirectory });
      expect((await stat(join(server.dataDirectory, 'postmaster.pid'))).uid).toBe(nobody);
    });
  });
});
