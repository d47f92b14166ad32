// What a project gets for the trial of transactions behind a GraphQL API: resolvers, and what they do and don't share.

/** The packages of each version of Nest. */
export const GRAPHQL_PACKAGES = {
  11: [
    '@nestjs/graphql@13',
    '@nestjs/apollo@13',
    '@as-integrations/express5',
    '@apollo/server@5',
    'graphql@16',
    'dataloader',
  ],
  12: [
    '@nestjs/graphql@14',
    '@nestjs/apollo@14',
    '@as-integrations/express5',
    '@apollo/server@5',
    'graphql@16',
    'dataloader',
  ],
};

/** The files of the resolvers and of their test, seen from the project. */
export function graphqlSources({ esm }) {
  const end = esm ? '.js' : '';
  const vitest = esm ? "import { describe, expect, it, beforeAll, afterAll, beforeEach } from 'vitest';\n" : '';
  return {
    'src/orders.service.ts': `import { Injectable, UnprocessableEntityException } from '@nestjs/common';
import { Kysely, sql } from 'kysely';
import { afterCommit, afterRollback, currentTransaction, InjectDb, Transactional, withoutTransaction } from 'nestjs-pooling';

export interface Shop {
  orders: { id: number; item: string };
  order_lines: { order_id: number; item: string };
}

@Injectable()
export class OrdersService {
  /** What hooks have seen, and which batches were read. */
  readonly seen: string[] = [];

  constructor(@InjectDb() readonly db: Kysely<Shop>) {}

  @Transactional()
  async place(id: number, item: string): Promise<{ id: number; item: string; transaction: string }> {
    await this.db.insertInto('orders').values({ id, item }).execute();
    await this.db.insertInto('order_lines').values([{ order_id: id, item }, { order_id: id, item: 'box' }]).execute();
    afterCommit(() => void this.seen.push(\`committed \${id}\`));
    afterRollback(() => void this.seen.push(\`rolled back \${id}\`));
    const transaction = await this.transaction();
    if (item === 'nothing') throw new UnprocessableEntityException('there is nothing to order');
    return { id, item, transaction };
  }

  async all(): Promise<{ id: number; item: string }[]> {
    return this.db.selectFrom('orders').selectAll().orderBy('id').execute();
  }

  async transaction(): Promise<string> {
    const { rows } = await sql<{ id: string }>\`select pg_current_xact_id()::text as id\`.execute(this.db);
    return rows[0].id;
  }

  get inTransaction(): boolean {
    return currentTransaction(this.db) !== undefined;
  }

  /** For loaders, which several resolvers share: what nobody has committed is none of theirs. */
  readonly linesOf = (ids: readonly number[]): Promise<string[][]> =>
    withoutTransaction(async () => {
      this.seen.push(\`lines of \${ids.join(', ')}\`);
      const rows = await this.db.selectFrom('order_lines').selectAll().where('order_id', 'in', [...ids]).orderBy('item').execute();
      return ids.map((id) => rows.filter((row) => row.order_id === id).map(({ item }) => item));
    });
}
`,
    'src/orders.resolver.ts': `import { Injectable, Scope } from '@nestjs/common';
import { Args, Context, Field, Int, Mutation, ObjectType, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import DataLoader from 'dataloader';
import { Transactional } from 'nestjs-pooling';
import { OrdersService } from './orders.service${end}';

@ObjectType()
export class Order {
  @Field(() => Int) id!: number;
  @Field(() => String) item!: string;
  /** In which it was placed, or listed. */
  @Field(() => String) transaction!: string;
}

export interface OrdersContext {
  readonly lines: DataLoader<number, string[]>;
}

@Resolver(() => Order)
export class OrdersResolver {
  constructor(private readonly orders: OrdersService) {}

  @Query(() => [Order])
  @Transactional()
  async list(): Promise<Order[]> {
    const transaction = await this.orders.transaction();
    return (await this.orders.all()).map((order) => ({ ...order, transaction }));
  }

  @Mutation(() => Order)
  place(
    @Args('id', { type: () => Int }) id: number,
    @Args('item', { type: () => String }) item: string,
  ): Promise<Order> {
    return this.orders.place(id, item);
  }

  @Mutation(() => [Order])
  @Transactional()
  placeAll(
    @Args('ids', { type: () => [Int] }) ids: number[],
    @Args('items', { type: () => [String] }) items: string[],
  ): Promise<Order[]> {
    return Promise.all(ids.map((id, at) => this.orders.place(id, items[at])));
  }

  @ResolveField(() => [String])
  lines(@Parent() { id }: Order, @Context() { lines }: OrdersContext): Promise<string[]> {
    return lines.load(id);
  }

  @ResolveField(() => Int)
  async count(): Promise<number> {
    return (await this.orders.all()).length;
  }

  @ResolveField(() => Boolean)
  inTransaction(): boolean {
    return this.orders.inTransaction;
  }

  @ResolveField(() => String)
  @Transactional()
  ownTransaction(): Promise<string> {
    return this.orders.transaction();
  }
}

@Resolver()
@Injectable({ scope: Scope.REQUEST })
export class RequestResolver {
  constructor(private readonly orders: OrdersService) {}

  @Mutation(() => [String])
  @Transactional()
  async transactions(): Promise<string[]> {
    return [await this.orders.transaction(), await this.orders.transaction()];
  }
}
`,
    'src/orders.module.ts': `import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Module } from '@nestjs/common';
import { GraphQLModule } from '@nestjs/graphql';
import DataLoader from 'dataloader';
import { OrdersResolver, RequestResolver } from './orders.resolver${end}';
import { OrdersService } from './orders.service${end}';

@Module({ providers: [OrdersService], exports: [OrdersService] })
class OrdersServiceModule {}

@Module({
  imports: [
    OrdersServiceModule,
    GraphQLModule.forRootAsync<ApolloDriverConfig>({
      driver: ApolloDriver,
      imports: [OrdersServiceModule],
      inject: [OrdersService],
      useFactory: (orders: OrdersService) => ({
        autoSchemaFile: true,
        context: () => ({ lines: new DataLoader(orders.linesOf) }),
      }),
    }),
  ],
  providers: [OrdersResolver, RequestResolver],
})
export class OrdersModule {}
`,
    'test/graphql.e2e-spec.ts': `${vitest}import { INestApplication } from '@nestjs/common';
import type { ApolloDriver } from '@nestjs/apollo';
import { GraphQLModule } from '@nestjs/graphql';
import { Test } from '@nestjs/testing';
import DataLoader from 'dataloader';
import { Kysely, sql } from 'kysely';
import { DatabasePool, getDbPoolToken, getDbToken, transactional } from 'nestjs-pooling';
import { beginTestTransaction } from 'nestjs-pooling/testing';
import request from 'supertest';
import { AppModule } from './../src/app.module${end}';
import { OrdersService, type Shop } from './../src/orders.service${end}';

interface Answer {
  data: any;
  errors?: { message: string }[];
}

describe('transactions of resolvers (e2e)', () => {
  let app: INestApplication;
  let db: Kysely<Shop>;
  let orders: OrdersService;

  beforeAll(async () => {
    app = (await Test.createTestingModule({ imports: [AppModule] }).compile()).createNestApplication();
    await app.init();
    db = app.get(getDbToken());
    orders = app.get(OrdersService);
    await sql\`create table orders (id int primary key, item text not null)\`.execute(db);
    await sql\`create table order_lines (order_id int not null references orders deferrable, item text not null)\`.execute(db);
  });
  beforeEach(async () => {
    await sql\`truncate orders, order_lines\`.execute(db);
    orders.seen.length = 0;
  });
  afterAll(async () => {
    await sql\`drop table order_lines, orders\`.execute(db);
    await app.close();
  });

  async function operate(query: string): Promise<Answer> {
    const response = await request(app.getHttpServer()).post('/graphql').send({ query });
    return response.body as Answer;
  }

  const ids = async (): Promise<number[]> => (await orders.all()).map(({ id }) => id);

  it('are those of each resolver: committed before its fields are resolved, which are outside of it', async () => {
    const { data, errors } = await operate(
      'mutation { place(id: 1, item: "lamp") { transaction inTransaction count lines ownTransaction } }',
    );
    expect(errors).toBeUndefined();
    expect(data.place).toMatchObject({ inTransaction: false, count: 1, lines: ['box', 'lamp'] });
    expect(data.place.ownTransaction).not.toBe(data.place.transaction);
    expect(orders.seen).toEqual(['committed 1', 'lines of 1']);
  });

  it('are rolled back with the error of their resolver, and no other is', async () => {
    const { data, errors } = await operate(
      'mutation { one: place(id: 1, item: "lamp") { id } two: place(id: 2, item: "nothing") { id } }',
    );
    expect(data).toBeNull();
    expect(errors?.map(({ message }) => message)).toEqual(['there is nothing to order']);
    expect(orders.seen).toEqual(['committed 1', 'rolled back 2']);
    expect(await ids()).toEqual([1]);
  });

  it('are one for all that a resolver does, at the same time as well', async () => {
    const { data } = await operate(
      'mutation { placeAll(ids: [1, 2, 3], items: ["lamp", "rug", "mug"]) { transaction lines } }',
    );
    expect(new Set(data.placeAll.map((order: { transaction: string }) => order.transaction)).size).toBe(1);
    expect(data.placeAll[2].lines).toEqual(['box', 'mug']);
    expect(orders.seen).toEqual(['committed 1', 'committed 2', 'committed 3', 'lines of 1, 2, 3']);
    await operate('mutation { placeAll(ids: [4, 5], items: ["lamp", "nothing"]) { id } }');
    expect(await ids()).toEqual([1, 2, 3]);
  });

  it('are apart for resolvers and fields that run at the same time', async () => {
    await operate('mutation { placeAll(ids: [1, 2, 3], items: ["lamp", "rug", "mug"]) { id } }');
    const { data, errors } = await operate('{ one: list { transaction ownTransaction lines } two: list { transaction } }');
    expect(errors).toBeUndefined();
    const found = [...data.one.flatMap((order: any) => [order.transaction, order.ownTransaction]), data.two[0].transaction];
    // One for each of both lists, and for the field of each of three orders.
    expect(new Set(found).size).toBe(2 + 3);
    expect(app.get<DatabasePool>(getDbPoolToken()).statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });

  it('work in resolvers of a request', async () => {
    const { data } = await operate('mutation { one: transactions two: transactions }');
    expect(data.one[0]).toBe(data.one[1]);
    expect(data.two[0]).toBe(data.two[1]);
    expect(data.one[0]).not.toBe(data.two[0]);
  });

  it('may be one for a whole operation, with all of its fields', async () => {
    await orders.place(1, 'lamp');
    const server = app.get<GraphQLModule<ApolloDriver>>(GraphQLModule).graphQlAdapter.instance;
    const run = (query: string): Promise<any> =>
      transactional(db, async () => {
        const contextValue = { lines: new DataLoader(orders.linesOf) };
        const { body } = await server.executeOperation({ query }, { contextValue });
        if (body.kind !== 'single') throw new Error('one answer was expected');
        const { data, errors } = body.singleResult;
        if (errors !== undefined) throw new Error(errors[0].message);
        return data;
      });
    const data = await run(
      '{ one: list { transaction ownTransaction inTransaction count lines } two: list { transaction ownTransaction } }',
    );
    expect(data.one[0]).toMatchObject({ inTransaction: true, count: 1, lines: ['box', 'lamp'] });
    const found = [...data.one, ...data.two].flatMap((order: any) => [order.transaction, order.ownTransaction]);
    expect(new Set(found).size).toBe(1);
    await expect(
      run('mutation { one: place(id: 2, item: "rug") { count } two: place(id: 3, item: "nothing") { id } }'),
    ).rejects.toThrow('there is nothing to order');
    expect(await ids()).toEqual([1]);
  });

  it('are undone after a test', async () => {
    const rollback = await beginTestTransaction(app.get<DatabasePool>(getDbPoolToken()));
    expect((await operate('mutation { place(id: 1, item: "lamp") { count lines } }')).data.place).toEqual({
      count: 1,
      lines: ['box', 'lamp'],
    });
    await operate('mutation { place(id: 2, item: "nothing") { id } }');
    expect((await operate('{ one: list { id count } two: list { id } }')).data).toEqual({
      one: [{ id: 1, count: 1 }],
      two: [{ id: 1 }],
    });
    await rollback();
    expect(await ids()).toEqual([]);
  });
});
`,
  };
}

/** The root module with the module of the resolvers. */
export function withOrders(appModule, { esm }) {
  return appModule
    .replace(/imports: \[/, '$&OrdersModule, ')
    .replace(/(?=\n@Module\()/, `import { OrdersModule } from './orders.module${esm ? '.js' : ''}';\n`);
}
