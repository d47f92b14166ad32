import { MikroOrmModule } from '@mikro-orm/nestjs';
import { defineEntity, p } from '@mikro-orm/core';
import { PostgreSqlDriver } from '@mikro-orm/postgresql';
import { Module } from '@nestjs/common';
import { PostgresDialect } from 'kysely';
import { getDbPoolToken, type DatabasePool } from 'nestjs-pooling';

export const Book = defineEntity({
  name: 'Book',
  tableName: 'book',
  properties: { id: p.integer().primary(), title: p.string() },
});

/** What Kysely's dialect calls on a pool. It may not end this one: the application does. */
const poolFor = (pool: DatabasePool) => ({
  options: {},
  connect: () => pool.connect(),
  end: () => Promise.resolve(),
});

@Module({
  imports: [
    MikroOrmModule.forRootAsync({
      driver: PostgreSqlDriver,
      inject: [getDbPoolToken()],
      useFactory: (pool: DatabasePool) => ({
        driver: PostgreSqlDriver,
        dbName: 'of the pool', // the pool knows where its database is
        entities: [Book],
        driverOptions: new PostgresDialect({ pool: poolFor(pool) }),
      }),
    }),
  ],
})
export class MikroOrmOnPoolModule {}
