import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { sql, type Kysely } from 'kysely';
import { beginTestTransaction } from 'nestjs-pooling/testing';
import { afterCommit } from '#pooling/database/kysely/ambient/outcome-hooks.js';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { batch } from '#pooling/database/kysely/batch.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { findPgBouncer, preparesByItself, PgBouncer, versionOf } from '#test/pgbouncer/pgbouncer.js';
import { Laboratory, rejection, undone, type Tables } from './laboratory.js';
import { calls, modelOf, outcomeOf } from './nestings.js';

const program = findPgBouncer();
if (program === undefined) {
  process.stderr.write('\nNOT TESTED: PgBouncer is not installed: transactions that travel are not tried through it\n');
}
const version = program === undefined ? '' : versionOf(program);

/** Connections of PgBouncer's to the server: as many as nested calls may hold at a time. */
const SERVER_CONNECTIONS = 8;

const RUNS = Number(process.env['NESTINGS'] ?? 60);

describe.runIf(program !== undefined)(`through PgBouncer ${version} in transaction mode (needs pgbouncer)`, () => {
  describe.each([false, { depth: 16 }] as const)('with pipelining %o', (pipelining) => {
    let database: TestDatabase;
    let bouncer: PgBouncer;
    let laboratory: Laboratory;
    let db: Kysely<Tables>;
    beforeAll(async () => {
      database = await createTestDatabase();
      await database.query('create table entry (name text not null unique)');
      bouncer = await PgBouncer.start(program as string, database.url, SERVER_CONNECTIONS);
      laboratory = Laboratory.over(database, {
        url: bouncer.url,
        size: 20,
        pipelining,
        statementTimeoutMs: 0,
        preparedStatements: preparesByItself(version),
      });
      ({ db } = laboratory);
    });
    afterAll(async () => {
      await laboratory[Symbol.asyncDispose]();
      await bouncer[Symbol.asyncDispose]();
    });
    beforeEach(() => laboratory.clear());

    it('rows and hooks of random nestings, with failures at any point, are what a model says', async () => {
      await fc.assert(
        fc.asyncProperty(calls, async (call) => {
          expect(await outcomeOf(call, laboratory)).toEqual(modelOf(call));
          await vi.waitFor(() => expect(laboratory.pool.statistics().inUse).toBe(0), { interval: 1, timeout: 10_000 });
        }),
        { numRuns: RUNS },
      );
    }, 300_000);

    it('settings are those of each transaction, and of nothing else on the same connection', async () => {
      const tenant = async (): Promise<string> => {
        const { rows } = await sql<{
          tenant: string | null;
        }>`select current_setting('app.tenant', true) as tenant`.execute(db);
        return rows[0]!.tenant ?? '';
      };
      const seen = await Promise.all(
        Array.from({ length: 60 }, async (_, at) => {
          if (at % 3 === 0) return { at, tenant: await tenant(), is: '' };
          const failing = at % 3 === 1;
          const found: string[] = [];
          await transactional(db, { settings: { 'app.tenant': at } }, async () => {
            found.push(await tenant());
            await sleep(1);
            found.push(await tenant());
            if (failing) throw new Error('rolled back');
          }).catch(() => undefined);
          return { at, tenant: [...new Set(found)].join(), is: String(at) };
        }),
      );
      for (const { tenant: of, is } of seen) expect(of).toBe(is);
    });

    it('statements at the same time, streams, batches and savepoints belong to one transaction', async () => {
      await undone(
        transactional(db, async () => {
          const [one, two] = await Promise.all([laboratory.transactionId(), laboratory.transactionId()]);
          expect(two).toBe(one);
          await batch(db, [db.insertInto('entry').values({ name: 'a' }), db.insertInto('entry').values({ name: 'b' })]);
          const names: string[] = [];
          for await (const { name } of db.selectFrom('entry').select('name').orderBy('name').stream(1))
            names.push(name);
          expect(names).toEqual(['a', 'b']);
          await rejection(transactional(db, { propagation: 'nested' }, () => laboratory.write('a')));
          expect(await laboratory.transactionId()).toBe(one);
          throw new Error('rolled back');
        }),
      );
      expect(await laboratory.committed()).toEqual([]);
    });

    it('a time limit cancels what runs, and the connection is good for the next one', async () => {
      const limited = transactional(db, { timeoutMs: 100 }, async () => {
        await laboratory.write('undone');
        await sql`select pg_sleep(60)`.execute(db);
      });
      expect(await rejection(limited)).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
      await transactional(db, () => laboratory.write('kept'));
      expect(await laboratory.committed()).toEqual(['kept']);
    });

    it('the transaction of a test rolls all of it back', async () => {
      const rollback = await beginTestTransaction(laboratory.pool);
      const hooks: string[] = [];
      await Promise.all(
        ['a', 'b', 'c'].map((name) =>
          transactional(db, async () => {
            await laboratory.write(name);
            afterCommit(() => void hooks.push(name));
          }),
        ),
      );
      await rejection(laboratory.write('a'));
      expect((await db.selectFrom('entry').select('name').execute()).map(({ name }) => name).toSorted()).toEqual(
        hooks.toSorted(),
      );
      await rollback();
      expect(await laboratory.committed()).toEqual([]);
    });
  });
});
