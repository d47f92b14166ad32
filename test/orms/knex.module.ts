import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import createKnex, { type Knex } from 'knex';
import { getDbPoolToken, type DatabasePool } from 'nestjs-pooling';
import type { Pool, PoolClient } from 'pg';

export const KNEX = Symbol('Knex');

/** Knex 3.3 returns a stream's connection twice, which a `pg.Pool` refuses as well: this one returns once. */
async function lease(pool: DatabasePool): Promise<PoolClient> {
  const client = await pool.connect();
  const { release } = client;
  let returned = false;
  client.release = (error) => {
    if (!returned) release.call(client, error);
    returned = true;
  };
  return client;
}

@Global()
@Module({
  providers: [
    {
      provide: KNEX,
      inject: [getDbPoolToken()],
      useFactory: (pool: DatabasePool) =>
        createKnex({ client: 'pg', connectionPool: { connect: () => lease(pool) } as unknown as Pool }),
    },
  ],
  exports: [KNEX],
})
export class KnexModule implements OnApplicationShutdown {
  constructor(@Inject(KNEX) private readonly knex: Knex) {}

  async onApplicationShutdown(): Promise<void> {
    await this.knex.destroy(); // leaves the pool alone
  }
}
