/** A real standby: what a pool does when its name points to one, and when that one becomes the primary. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DatabasePool, PoolAdvisor } from 'nestjs-pooling';
import { PostgresServer } from 'nestjs-pooling/testing';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { MovingName } from '#test/support/moving-name.js';

const run = promisify(execFile);
const LOGIN = { user: 'postgres', database: 'postgres', password: 'secret' };
const ADVICE = { code: 'READ_ONLY_SERVER', severity: 'error', pool: 'shop' };

/** A primary, a standby that streams from it, and a name that points to either. */
class Pair implements AsyncDisposable {
  private constructor(
    readonly primary: PostgresServer,
    readonly standby: PostgresServer,
    readonly name: MovingName,
  ) {}

  static async start(pointsTo: 'primary' | 'standby'): Promise<Pair> {
    const primary = await PostgresServer.start({ password: LOGIN.password });
    await ask(primary, 'create table written (n int)');
    const dataDirectory = `${primary.dataDirectory}-standby`;
    await primary.stop();
    // With its owner and modes: a server reads no data that others could have written.
    await run('cp', ['-Rp', primary.dataDirectory, dataDirectory]);
    await primary.start();
    await writeFile(join(dataDirectory, 'standby.signal'), '');
    const conninfo = `host=127.0.0.1 port=${primary.port} user=${LOGIN.user} password=${LOGIN.password}`;
    const standby = await PostgresServer.start({
      dataDirectory,
      persistent: false,
      password: LOGIN.password,
      settings: { primary_conninfo: conninfo },
    });
    const name = await new MovingName((pointsTo === 'primary' ? primary : standby).port).listen();
    return new Pair(primary, standby, name);
  }

  /** Waits until the standby has what was written. */
  async replicated(rows: number): Promise<void> {
    await expect.poll(() => ask(this.standby, 'select count(*)::int as count from written')).toEqual([{ count: rows }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.name.close();
    await Promise.all([this.primary.close(), this.standby.close()]);
  }
}

async function ask({ url }: PostgresServer, text: string): Promise<unknown[]> {
  await using pool = new DatabasePool('admin', { url, size: 1 });
  return (await pool.query(text)).rows;
}

function createPool(name: MovingName, clock: ManualClock): DatabasePool {
  const connection = { host: '127.0.0.1', port: name.port, ...LOGIN };
  return new DatabasePool('shop', { connection, size: 4, maxOverflow: 0 }, { clock });
}

async function fill(pool: DatabasePool): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
  for (const client of clients) client.release();
}

const write = (pool: DatabasePool): Promise<string | undefined> =>
  pool.query('insert into written values ($1)', [1]).then(
    () => 'written',
    (error: { code?: string }) => error.code,
  );

it('serves reads from the standby that a primary was replaced by, and writes as soon as it is promoted', async () => {
  await using pair = await Pair.start('primary');
  const clock = new ManualClock();
  await using pool = createPool(pair.name, clock);
  const advisor = new PoolAdvisor({ databases: () => [pool] });
  await fill(pool);
  expect(await write(pool)).toBe('written');
  await pair.replicated(1);

  pair.name.target = pair.standby.port;
  await pair.primary.stop('immediate');
  await vi.waitFor(async () => expect(await write(pool)).toBe('25006'));
  for (let n = 0; n < 20; n++) expect(await write(pool)).toBe('25006');
  expect((await pool.query('select n from written')).rows).toEqual([{ n: 1 }]);
  await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ readOnly: true, inUse: 0, connecting: 0 }));
  expect(await pool.ping()).toMatchObject({ status: 'degraded' });
  expect(await advisor.advise()).toContainEqual(expect.objectContaining(ADVICE));
  const { opened } = pool.statistics();
  for (let n = 0; n < 20; n++) await write(pool);
  expect(pool.statistics().opened - opened).toBeLessThanOrEqual(4);

  await ask(pair.standby, 'select pg_promote()');
  await clock.advance(10_000);
  await vi.waitFor(async () => expect(await write(pool)).toBe('written'));
  expect(await pool.ping()).toMatchObject({ status: 'up' });
  expect(pool.statistics().readOnly).toBe(false);
  expect(await advisor.advise()).not.toContainEqual(expect.objectContaining(ADVICE));
}, 180_000);

it('leaves a standby for the primary that the name points to by now, after refused writes', async () => {
  await using pair = await Pair.start('standby');
  const clock = new ManualClock();
  await using pool = createPool(pair.name, clock);
  await fill(pool);
  expect(await write(pool)).toBe('25006');
  await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ readOnly: true, inUse: 0, connecting: 0 }));

  pair.name.target = pair.primary.port;
  await clock.advance(10_000);
  const codes: unknown[] = [];
  for (let n = 0; n < 20; n++) codes.push(await write(pool));
  expect(codes.slice(4)).toEqual(Array(16).fill('written'));
  expect(pool.statistics().readOnly).toBe(false);
  await pair.replicated(codes.filter((code) => code === 'written').length);
}, 180_000);
