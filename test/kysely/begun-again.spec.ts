/** A transaction whose connection was lost before it began: all of it begins again on another connection, or none of it. */
import type { Socket } from 'node:net';
import { Log, sql, type Kysely, type Transaction } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { accessWhenUsed } from '#pooling/database/database-access.js';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { ConnectionScope } from '#pooling/database/kysely/connection-scope.js';
import { KyselyConnection, type ConnectionWay } from '#pooling/database/kysely/kysely-connection.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { urlAt, useTestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { add, commitHeld, GATED_COMMIT, type GatedSchema } from '#test/support/gated-commit.js';
import { usePools } from '#test/support/pools.js';
import { TrackedSockets } from '#test/support/tracked-sockets.js';
import { rejection } from './laboratory.js';

const database = useTestDatabase(
  ...GATED_COMMIT,
  'create schema tenant',
  'create table tenant.item (id serial primary key, name text not null, gate text)',
);
const createPool = usePools('begun again', () => ({
  url: database.url,
  size: 1,
  maxOverflow: 0,
  applicationName: 'begun again',
}));

afterEach(async () => void (await database.query('truncate item, tenant.item')));

function create(options: DatabaseOptions = {}): { pool: DatabasePool; db: Kysely<GatedSchema> } {
  const pool = createPool(options, { clock: new ManualClock() });
  return { pool, db: createKysely<GatedSchema>(pool) };
}

const names = async (table = 'item'): Promise<string[]> =>
  (await database.query<{ name: string }>(`select name from ${table} order by id`)).map(({ name }) => name);

/** The server ends what the pool has opened. */
const endConnections = (): Promise<unknown> =>
  database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'begun again'`,
  );

async function loseConnection(pool: DatabasePool): Promise<void> {
  await endConnections();
  await vi.waitFor(() => expect(pool.holders()[0]?.lost).toBe(true));
}

function wayOf(pool: DatabasePool): ConnectionWay {
  return { ...accessWhenUsed(pool), pool, log: new Log([]), cursor: undefined, readOnly: false };
}

describe('a transaction of db.connection()', () => {
  it.each<[string, (connection: Kysely<GatedSchema>) => Promise<unknown>]>([
    ['a setting', (connection) => sql`set search_path to tenant`.execute(connection)],
    ['a lock', (connection) => sql`select pg_advisory_lock(77)`.execute(connection)],
    [
      'a transaction before',
      (connection) =>
        connection.transaction().execute((transaction) => sql`set search_path to tenant`.execute(transaction)),
    ],
  ])('stays where its session has %s', async (_, prepare) => {
    const { pool, db } = create();
    const lost = db.connection().execute(async (connection) => {
      await prepare(connection);
      await loseConnection(pool);
      await connection.transaction().execute((transaction) => add(transaction, 'in the wrong session'));
    });
    await expect(lost).rejects.toThrow(/connection (is|was) lost/);
    expect([...(await names()), ...(await names('tenant.item'))]).toEqual([]);
    expect(pool.statistics()).toMatchObject({ inUse: 0 });
  });

  it('begins again when nothing was run before', async () => {
    const { pool, db } = create();
    await db.connection().execute(async (connection) => {
      await loseConnection(pool);
      await connection.transaction().execute((transaction) => add(transaction, 'one'));
      await add(connection, 'two');
    });
    expect(await names()).toEqual(['one', 'two']);
  });
});

describe('statements at the end of a connection', () => {
  /** Calls back when the server's end of the stream has come, and what runs on it doesn't know yet. */
  function atEnd(sockets: Socket[], callback: () => void): void {
    sockets.at(-1)?.once('end', () => process.nextTick(() => process.nextTick(callback)));
  }

  async function ended(
    second: (transaction: Transaction<GatedSchema>) => Promise<unknown>,
    ahead: boolean,
  ): Promise<PromiseSettledResult<unknown>> {
    await using gate = await Gate.closed(database.url);
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const sockets: Socket[] = [];
    const tracked = new TrackedSockets();
    const stream = (): Socket => {
      const socket = tracked.make();
      sockets.push(socket);
      return socket;
    };
    const { pool, db } = create({ url: urlAt(database.url, proxy.port), connection: { stream } });
    const run = (): Promise<void> =>
      db.transaction().execute(async (transaction) => {
        const asked: Promise<unknown>[] = [
          ahead
            ? add(transaction, 'one')
            : sql`insert into item (name) select ${'one'} from (select ${sql.raw(gate.passed)}) gate`.execute(
                transaction,
              ),
        ];
        const late = new Promise<void>((resolve) =>
          atEnd(sockets, () => {
            asked.push(second(transaction));
            resolve();
          }),
        );
        await gate.waitedAt();
        proxy.cut('fin');
        await late;
        await Promise.allSettled(asked);
      });
    if (!ahead) {
      const [outcome] = await Promise.allSettled([run()]);
      expect(pool.statistics()).toMatchObject({ inUse: 0 });
      return outcome;
    }
    const held = await commitHeld({ pool, db }, gate, run);
    expect(await rejection(held.first)).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
    const [outcome] = await Promise.allSettled([held.second]);
    await gate.open();
    return outcome;
  }

  it('are never committed without one that was lost before', async () => {
    const outcome = await ended((transaction) => add(transaction, 'two'), false);
    expect(outcome).toMatchObject({ status: 'rejected' });
    expect(await names()).toEqual([]);
  });

  it('keep their order behind the COMMIT of another transaction', async () => {
    const outcome = await ended((transaction) => add(transaction, 'two'), true);
    expect(outcome).toMatchObject({ status: 'fulfilled' });
    expect((await names()).filter((name) => name !== 'first')).toEqual(['one', 'two']);
  });
});

describe('a transaction that was to be cancelled', () => {
  it('is never committed without a statement that goes on where the request could not be sent', async () => {
    await using gate = await Gate.closed(database.url);
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const { pool, db } = create({ url: urlAt(database.url, proxy.port) });
    const connection = new KyselyConnection(wayOf(pool));
    connection.begin({});
    const one = connection.executeQuery(
      sql`insert into item (name) select ${'one'} from (select ${sql.raw(gate.passed)}) gate`.compile(db),
    );
    await gate.waitedAt();
    await proxy.refuse();
    await connection.cancelQuery();
    await proxy.forward();
    const two = connection.executeQuery(db.insertInto('item').values({ name: 'two', gate: null }).compile());
    two.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    await gate.open();
    await one;
    await expect(two).rejects.toThrow('connection is lost');
    await expect(connection.commit()).rejects.toThrow('connection is lost');
    connection.release();
    expect(await names()).toEqual([]);
  });

  it('does not begin again after its session was killed', async () => {
    await using gate = await Gate.closed(database.url);
    const { pool, db } = create();
    const { first, second } = await commitHeld({ pool, db }, gate, async () => {
      const lease = await wayOf(pool).leases.acquire({ follows: true });
      const connection = new KyselyConnection(wayOf(pool), lease);
      connection.begin({});
      const one = connection.executeQuery(db.insertInto('item').values({ name: 'one', gate: null }).compile());
      const killed = connection.killSession();
      const two = connection.executeQuery(db.insertInto('item').values({ name: 'two', gate: null }).compile());
      const outcomes = Promise.allSettled([one, two]);
      await killed;
      const committed = await Promise.allSettled([connection.commit()]);
      connection.release();
      return [(await outcomes)[1], ...committed];
    });
    await gate.open();
    await first;
    expect(await second).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    expect(await names()).toEqual(['first']);
  });

  it('hands its connection on only when the request has arrived', async () => {
    await using gate = await Gate.closed(database.url);
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const { pool, db } = create({ url: urlAt(database.url, proxy.port) });
    const lease = await wayOf(pool).leases.acquire();
    const connection = new KyselyConnection(wayOf(pool), lease);
    connection.begin({});
    const scope = new ConnectionScope(connection);
    const one = scope.run(sql`select ${sql.raw(gate.passed)}`.compile(db));
    await gate.waitedAt();
    await proxy.stall();
    const cancelled = connection.cancelQuery();
    await gate.open();
    await one;
    const next = db.transaction().execute((transaction) => add(transaction, 'next'));
    await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
    await connection.commit();
    expect(pool.statistics().waiting).toBe(1);
    connection.release();
    await proxy.forward();
    await Promise.all([cancelled, next]);
    expect(await names()).toEqual(['next']);
  });
});

describe('a transaction that ends itself', () => {
  it('does not begin again behind the COMMIT of another one', async () => {
    await using gate = await Gate.closed(database.url);
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const { pool, db } = create({ url: urlAt(database.url, proxy.port) });
    const { first, second } = await commitHeld({ pool, db }, gate, () =>
      db.transaction().execute(async (transaction) => {
        const outcomes = await Promise.allSettled([add(transaction, 'one'), sql`commit`.execute(transaction)]);
        expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
        throw new Error('lost');
      }),
    );
    proxy.cut('rst');
    await expect(first).rejects.toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
    await expect(second).rejects.toThrow('lost');
    await gate.open();
  });
});

describe('a transaction that can have no other connection', () => {
  it('is not committed without what failed for that', async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const clock = new ManualClock();
    const pool = createPool({ url: urlAt(database.url, proxy.port), acquireTimeoutMs: 1_000 }, { clock });
    const db = createKysely<GatedSchema>(pool);
    let lost!: Promise<unknown>;
    const outcome = db.transaction().execute(async (transaction) => {
      await proxy.refuse();
      await loseConnection(pool);
      lost = add(transaction, 'one');
      lost.catch(() => undefined);
      await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
      await clock.advance(1_000);
      await lost.catch(() => undefined);
      await proxy.forward();
      await add(transaction, 'two').catch(() => undefined);
    });
    outcome.catch(() => undefined);
    await expect(outcome).rejects.toMatchObject({ code: '25P02' });
    await expect(lost).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    expect(await names()).toEqual([]);
    expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });
});
