import { Injectable, Module, type INestApplication, type ModuleMetadata, type Type } from '@nestjs/common';
import { InjectTransactionHost, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import type { Knex } from 'knex';
import { DataTypes, Sequelize } from 'sequelize';
import { Column, Entity, PrimaryColumn, type DataSource } from 'typeorm';
import { ClsDrizzleModule, type DrizzleAdapter } from './cls-drizzle.module.js';
import { ClsKnexModule, type KnexAdapter } from './cls-knex.module.js';
import { ClsKyselyModule, type KyselyAdapter } from './cls-kysely.module.js';
import { book, DRIZZLE, DrizzleModule, type Drizzle } from './drizzle.module.js';
import { KNEX, KnexModule } from './knex.module.js';
import { BOOKS, ObjectionModule, type BookModel } from './objection.module.js';
import { SequelizeModule } from './sequelize.module.js';
import { TypeOrmOnPoolModule } from './typeorm.module.js';

/** The table `book (id int primary key, title text not null)`, as one library sees it. */
export interface Books {
  add(id: number): Promise<unknown>;
  ids(): Promise<number[]>;
  /** Adds these in one transaction, and a repeated id fails it. */
  addAll(ids: readonly number[]): Promise<unknown>;
  /** The ids by a stream, where the library has one. */
  streamed?(): Promise<number[]>;
}

export interface Library {
  readonly imports: NonNullable<ModuleMetadata['imports']>;
  readonly providers?: Type[];
  books(app: INestApplication): Books;
}

const titled = (id: number): { id: number; title: string } => ({ id, title: `book ${id}` });

@Entity('book')
export class BookEntity {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  title!: string;
}

@Module({ imports: [TypeOrmOnPoolModule, TypeOrmModule.forFeature([BookEntity])] })
class TypeOrmBooks {}

@Injectable()
class DrizzleBooks implements Books {
  constructor(@InjectTransactionHost('drizzle') private readonly host: TransactionHost<DrizzleAdapter>) {}

  add(id: number): Promise<unknown> {
    return this.host.tx.insert(book).values(titled(id));
  }

  async ids(): Promise<number[]> {
    return (await this.host.tx.select().from(book).orderBy(book.id)).map(({ id }) => id);
  }

  @Transactional('drizzle')
  async addAll(ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.add(id);
  }
}

@Injectable()
class KyselyBooks implements Books {
  constructor(@InjectTransactionHost('kysely') private readonly host: TransactionHost<KyselyAdapter>) {}

  add(id: number): Promise<unknown> {
    return this.host.tx.insertInto('book').values(titled(id)).execute();
  }

  async ids(): Promise<number[]> {
    return (await this.host.tx.selectFrom('book').selectAll().orderBy('id').execute()).map(({ id }) => id);
  }

  @Transactional('kysely')
  async addAll(ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.add(id);
  }
}

@Injectable()
class KnexBooks implements Books {
  constructor(@InjectTransactionHost('knex') private readonly host: TransactionHost<KnexAdapter>) {}

  async add(id: number): Promise<unknown> {
    return await this.host.tx('book').insert(titled(id));
  }

  async ids(): Promise<number[]> {
    return await this.host.tx<BookEntity>('book').orderBy('id').pluck('id');
  }

  @Transactional('knex')
  async addAll(ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.add(id);
  }
}

async function idsOf(rows: AsyncIterable<unknown>): Promise<number[]> {
  const ids: number[] = [];
  for await (const row of rows) ids.push((row as { id: number }).id);
  return ids;
}

export const LIBRARIES: Readonly<Record<string, Library>> = {
  TypeORM: {
    imports: [TypeOrmBooks],
    books(app) {
      const { manager } = app.get<DataSource>(getDataSourceToken());
      return {
        add: (id) => manager.insert(BookEntity, titled(id)),
        ids: async () => (await manager.find(BookEntity, { order: { id: 'ASC' } })).map(({ id }) => id),
        addAll: (ids) =>
          manager.transaction(async (transaction) => {
            for (const id of ids) await transaction.insert(BookEntity, titled(id));
          }),
        streamed: async () =>
          await idsOf(await manager.createQueryBuilder(BookEntity, 'b').select('b.id', 'id').orderBy('b.id').stream()),
      };
    },
  },
  Knex: {
    imports: [KnexModule],
    books(app) {
      const knex = app.get<Knex>(KNEX);
      return {
        add: async (id) => await knex('book').insert(titled(id)),
        ids: async () => await knex<BookEntity>('book').orderBy('id').pluck('id'),
        addAll: (ids) =>
          knex.transaction(async (transaction) => {
            for (const id of ids) await transaction('book').insert(titled(id));
          }),
        streamed: () => idsOf(knex('book').select('id').orderBy('id').stream()),
      };
    },
  },
  Objection: {
    imports: [ObjectionModule],
    books(app) {
      const books = app.get<typeof BookModel>(BOOKS);
      return {
        add: async (id) => await books.query().insert(titled(id)),
        ids: async () => (await books.query().orderBy('id')).map(({ id }) => id),
        addAll: (ids) =>
          books.transaction(async (transaction) => {
            for (const id of ids) await books.query(transaction).insert(titled(id));
          }),
      };
    },
  },
  Drizzle: {
    imports: [DrizzleModule],
    books(app) {
      const db = app.get<Drizzle>(DRIZZLE);
      return {
        add: (id) => db.insert(book).values(titled(id)),
        ids: async () => (await db.select().from(book).orderBy(book.id)).map(({ id }) => id),
        addAll: (ids) =>
          db.transaction(async (transaction) => {
            for (const id of ids) await transaction.insert(book).values(titled(id));
          }),
      };
    },
  },
  Sequelize: {
    imports: [SequelizeModule],
    books(app) {
      const sequelize = app.get(Sequelize);
      const books = sequelize.define(
        'book',
        { id: { type: DataTypes.INTEGER, primaryKey: true }, title: DataTypes.TEXT },
        { tableName: 'book', timestamps: false },
      );
      return {
        add: (id) => books.create(titled(id)),
        ids: async () => (await books.findAll({ order: ['id'] })).map((found) => found.get('id') as number),
        addAll: (ids) =>
          sequelize.transaction(async (transaction) => {
            for (const id of ids) await books.create(titled(id), { transaction });
          }),
      };
    },
  },
  'nestjs-cls with Drizzle': {
    imports: [ClsDrizzleModule],
    providers: [DrizzleBooks],
    books: (app) => app.get(DrizzleBooks),
  },
  'nestjs-cls with Kysely': {
    imports: [ClsKyselyModule],
    providers: [KyselyBooks],
    books: (app) => app.get(KyselyBooks),
  },
  'nestjs-cls with Knex': {
    imports: [ClsKnexModule],
    providers: [KnexBooks],
    books: (app) => app.get(KnexBooks),
  },
};
