/** Every library that needs Node 22 or a heavy install, on one pool of one application. Prints one line for each. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { PostgresSaver } from '@langchain/langgraph-checkpoint-postgres';
import { MikroORM, UniqueConstraintViolationException } from '@mikro-orm/core';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDbPoolToken, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { PostgreSqlConnection } from 'ts-sql-query/connections/PostgreSqlConnection.js';
import { PgPoolQueryRunner } from 'ts-sql-query/queryRunners/PgPoolQueryRunner.js';
import { Umzug } from 'umzug';
import * as zapatos from 'zapatos/db';
import { GraphileWorker } from './graphile-worker.service.js';
import { Book, MikroOrmOnPoolModule } from './mikro-orm.module.js';
import { Jobs } from './pg-boss.service.js';
import { PrismaService } from './prisma.service.js';

@Module({
  imports: [PoolingModule.forRoot({ database: { size: 4, maxOverflow: 0 } }), MikroOrmOnPoolModule],
  providers: [PrismaService, GraphileWorker, Jobs],
})
class AppModule {}

const setUp = await import('pg').then(({ default: { Client } }) => new Client(process.env.DATABASE_URL));
await setUp.connect();
await setUp.query('create table book (id int primary key, title text not null)');
await setUp.query('create table letter (id serial, body text not null)');
await setUp.end();

const app = await NestFactory.create(AppModule, { logger: ['error', 'fatal'] });
await app.init();
const pool = app.get<DatabasePool>(getDbPoolToken());

const titled = (id: number) => ({ id, title: `book ${id}` });
const callers = (from: number): number[] => Array.from({ length: 50 }, (_, index) => from + index);

async function until(what: () => Promise<boolean>): Promise<void> {
  for (const startedAt = Date.now(); !(await what()); await delay(100)) {
    assert(Date.now() - startedAt < 60_000, 'it takes too long');
  }
}

async function count(table: string): Promise<number> {
  return (await pool.query<{ rows: number }>(`select count(*)::int as rows from ${table}`)).rows[0]!.rows;
}

const checks: Record<string, () => Promise<void>> = {
  async Prisma() {
    const client = app.get(PrismaService);
    await client.book.create({ data: titled(1) });
    await client.$transaction(async (transaction) => {
      await transaction.book.create({ data: titled(2) });
    });
    const failed = client.$transaction(async (transaction) => {
      await transaction.book.create({ data: titled(3) });
      await transaction.book.create({ data: titled(2) });
    });
    await assert.rejects(failed, { code: 'P2002' });
    await Promise.all(callers(100).map((id) => client.book.create({ data: titled(id) })));
    const seen = await client.book.findMany({ orderBy: { id: 'asc' } });
    assert.deepEqual(
      seen.map(({ id }) => id),
      [1, 2, ...callers(100)],
    );
    await pool.query('truncate book');
  },
  async MikroORM() {
    const orm = app.get(MikroORM);
    await orm.em.fork().insert(Book, titled(1));
    await orm.em.fork().transactional(async (em) => {
      em.create(Book, titled(2));
      await em.flush();
    });
    const failed = orm.em.fork().transactional(async (em) => {
      await em.insert(Book, titled(3));
      await em.insert(Book, titled(2));
    });
    await assert.rejects(failed, UniqueConstraintViolationException);
    await Promise.all(callers(100).map((id) => orm.em.fork().insert(Book, titled(id))));
    const seen = await orm.em.fork().find(Book, {}, { orderBy: { id: 'asc' } });
    assert.deepEqual(
      seen.map(({ id }) => id),
      [1, 2, ...callers(100)],
    );
    await pool.query('truncate book');
  },
  async 'graphile-worker'() {
    const worker = app.get(GraphileWorker);
    await Promise.all(callers(0).map((number) => worker.addJob('letter', { number })));
    await until(async () => (await count('letter')) === 50);
    await pool.query('truncate letter');
  },
  async 'pg-boss'() {
    const { boss } = app.get(Jobs);
    await boss.createQueue('letters');
    await Promise.all(callers(0).map((number) => boss.send('letters', { number })));
    await boss.work<{ number: number }>('letters', { batchSize: 25, pollingIntervalSeconds: 0.5 }, async (jobs) => {
      for (const { data } of jobs) await pool.query('insert into letter (body) values ($1)', [String(data.number)]);
    });
    await until(async () => (await count('letter')) === 50);
  },
  async zapatos() {
    const one = () => zapatos.sql<zapatos.SQL, { one: number }[]>`select ${zapatos.param(1)}::int as one`.run(pool);
    assert.deepEqual(
      (await Promise.all(callers(0).map(one))).flat(),
      callers(0).map(() => ({ one: 1 })),
    );
    await zapatos.serializable(pool, async (transaction) => {
      await zapatos.sql`insert into book (id, title) values (1, 'zapatos')`.run(transaction);
    });
    assert.equal(await count('book'), 1);
    await pool.query('truncate book');
  },
  async 'ts-sql-query'() {
    class Connection extends PostgreSqlConnection<'Connection'> {}
    const connect = () => new Connection(new PgPoolQueryRunner(pool));
    const connection = connect();
    const failed = connection.transaction(async () => {
      await connection.queryRunner.executeInsert("insert into book (id, title) values (1, 'lost')");
      throw new Error('no');
    });
    await assert.rejects(failed);
    const one = () => connect().queryRunner.executeSelectOneRow('select 1 as one', []);
    assert.deepEqual(
      await Promise.all(callers(0).map(one)),
      callers(0).map(() => ({ one: 1 })),
    );
    assert.equal(await count('book'), 0);
  },
  async umzug() {
    const umzug = new Umzug({
      migrations: [
        {
          name: 'shelf',
          up: () => pool.query('create table shelf (id int)'),
          down: () => pool.query('drop table shelf'),
        },
      ],
      context: pool,
      logger: undefined,
    });
    await umzug.up();
    assert.equal(await count('shelf'), 0);
    await umzug.down();
    await assert.rejects(count('shelf'), { code: '42P01' });
  },
  async langgraph() {
    const saver = new PostgresSaver(pool);
    await saver.setup();
    const threads = callers(0).map((id) => ({ configurable: { thread_id: String(id), checkpoint_ns: '' } }));
    const checkpoint = { v: 4, id: '1', ts: '', channel_values: {}, channel_versions: {}, versions_seen: {} };
    const metadata = { source: 'input', step: 1, parents: {} } as const;
    await Promise.all(threads.map((thread) => saver.put(thread, checkpoint, metadata, {})));
    const found = await Promise.all(threads.map((thread) => saver.getTuple(thread)));
    assert.deepEqual(
      found.map((tuple) => tuple?.checkpoint.id),
      threads.map(() => '1'),
    );
  },
};

for (const [library, check] of Object.entries(checks)) {
  await check();
  console.log(`${library}: works`);
}
await app.close();
const { state, acquired, released, opened, transactionsLeftOpen } = pool.statistics();
assert.deepEqual(
  { state, held: acquired - released, transactionsLeftOpen },
  { state: 'closed', held: 0, transactionsLeftOpen: 0 },
);
assert(opened <= 4);
console.log('closed');
