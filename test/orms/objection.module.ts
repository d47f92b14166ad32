import { Inject, Module } from '@nestjs/common';
import type { Knex } from 'knex';
import { Model } from 'objection';
import { KNEX, KnexModule } from './knex.module.js';

export class BookModel extends Model {
  static override tableName = 'book';

  declare id: number;
  declare title: string;
}

export const BOOKS = Symbol('books');

@Module({
  imports: [KnexModule],
  providers: [
    {
      provide: BOOKS,
      inject: [KNEX],
      // Bound to this application's Knex, and not to the class itself: two applications in one process don't meet.
      useFactory: (knex: Knex) => BookModel.bindKnex(knex),
    },
  ],
  exports: [BOOKS],
})
export class ObjectionModule {
  constructor(@Inject(BOOKS) readonly books: typeof BookModel) {}
}
