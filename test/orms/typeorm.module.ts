import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { getDbPoolToken, type DatabasePool } from 'nestjs-pooling';
import pg from 'pg';

/** What TypeORM calls on a pool. It may not end this one: the application does, when nobody uses it any more. */
function poolFor(pool: DatabasePool) {
  return { on: pool.on.bind(pool), connect: pool.connect.bind(pool), end: (done: () => void) => done() };
}

@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      inject: [getDbPoolToken()],
      useFactory: (pool: DatabasePool) => ({
        type: 'postgres',
        driver: {
          ...pg,
          // TypeORM says `new Pool(…)`.
          Pool: function () {
            return poolFor(pool);
          },
        },
        autoLoadEntities: true,
        installExtensions: false,
        retryAttempts: 0, // the pool waits for a database that starts
      }),
    }),
  ],
})
export class TypeOrmOnPoolModule {}
