import { Global, Module } from '@nestjs/common';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { getDbPoolToken, type DatabasePool } from 'nestjs-pooling';

export const book = pgTable('book', { id: integer().primaryKey(), title: text().notNull() });

export const DRIZZLE = Symbol('Drizzle');

const createDrizzle = (pool: DatabasePool) => drizzle(pool, { schema: { book } });
export type Drizzle = ReturnType<typeof createDrizzle>;

@Global()
@Module({
  providers: [{ provide: DRIZZLE, inject: [getDbPoolToken()], useFactory: createDrizzle }],
  exports: [DRIZZLE],
})
export class DrizzleModule {}
