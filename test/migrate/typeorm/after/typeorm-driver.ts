import type { DatabasePool } from 'nestjs-pooling';
import pg from 'pg';

/** The `pg` that TypeORM gets: its `new Pool()` is this pool, which TypeORM may not end. */
export function driverOn(pool: DatabasePool): object {
  return {
    ...pg,
    Pool: function () {
      return { on: pool.on.bind(pool), connect: pool.connect.bind(pool), end: (done: () => void) => done() };
    },
  };
}
