import { Injectable } from '@nestjs/common';
import { sql, type Kysely } from 'kysely';
import { InjectDb, InjectDbPool, type DatabasePool } from 'nestjs-pooling';

const LOCK = sql`select pg_advisory_xact_lock(1)`;
const LETTER = sql`insert into letter (body) values ('written by a job')`;

/** What a job does, step by step on its output. Its first query waits for a lock that the test holds. */
@Injectable()
export class Work {
  constructor(
    @InjectDb() private readonly db: Kysely<unknown>,
    @InjectDbPool() private readonly pool: DatabasePool,
  ) {}

  async run(): Promise<void> {
    console.log('job: begins');
    try {
      if (process.env['JOB'] === 'transaction') await this.transaction();
      else await this.queries();
      console.log('job: done');
    } catch (error) {
      console.log(`job: failed with ${(error as { code?: string }).code}`);
      throw error;
    }
  }

  private async transaction(): Promise<void> {
    await this.db.transaction().execute(async (trx) => {
      await LOCK.execute(trx);
      await LETTER.execute(trx);
    });
  }

  private async queries(): Promise<void> {
    await LOCK.execute(this.db);
    console.log('job: first query is done');
    await LETTER.execute(this.db);
  }

  /** Says when the pool lends no more connections. */
  async watch(): Promise<void> {
    for (;;) {
      const code = await this.pool.query('select 1').then(
        () => undefined,
        (error: { code?: string }) => error.code,
      );
      if (code === 'ERR_POOL_CLOSED') return console.log('pool: closes');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
