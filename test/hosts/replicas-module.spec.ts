/** Replicas in a Nest application: what is injected, what a request is, and what health and metrics say. Real replication. */
import {
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  UseGuards,
  type CanActivate,
  type INestApplication,
} from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { buildSchema, graphql, type GraphQLObjectType, type GraphQLSchema } from 'graphql';
import type { Kysely } from 'kysely';
import {
  consistencyToken,
  getDbToken,
  getReplicaDbToken,
  InjectDb,
  InjectReplicaDb,
  PoolingModule,
  PoolRegistry,
  withConsistency,
  type DatabaseOptions,
} from 'nestjs-pooling';
import { ReplicaLaboratory, type Tables } from './replica-laboratory.js';

let laboratory: ReplicaLaboratory;
let application: INestApplication | undefined;

beforeAll(async () => {
  laboratory = await ReplicaLaboratory.start();
}, 120_000);
afterAll(() => laboratory[Symbol.asyncDispose]());
afterEach(async () => {
  await application?.close();
  application = undefined;
  await laboratory.reset();
});

@Injectable()
class Entries {
  constructor(
    @InjectDb() readonly db: Kysely<Tables>,
    @InjectReplicaDb() readonly replicas: Kysely<Tables>,
  ) {}

  async ids(): Promise<number[]> {
    return (await this.replicas.selectFrom('entry').select('id').orderBy('id').execute()).map(({ id }) => id);
  }

  async write(id: number): Promise<void> {
    await this.db.insertInto('entry').values({ id, n: id }).execute();
  }
}

@Injectable()
class WritingGuard implements CanActivate {
  constructor(private readonly entries: Entries) {}

  async canActivate(): Promise<boolean> {
    await this.entries.write(100);
    return true;
  }
}

@Controller('entries')
class EntriesController {
  constructor(private readonly entries: Entries) {}

  @Get()
  async list(): Promise<number[]> {
    return await this.entries.ids();
  }

  @Get('write/:id')
  async write(@Param('id') id: string): Promise<number[]> {
    await this.entries.write(Number(id));
    return await this.entries.ids();
  }

  @Get('guarded')
  @UseGuards(WritingGuard)
  async guarded(): Promise<number[]> {
    return await this.entries.ids();
  }
}

@Injectable()
class EntriesResolver {
  constructor(private readonly entries: Entries) {}

  ids(): Promise<number[]> {
    return this.entries.ids();
  }

  async write(_root: unknown, { id }: { readonly id: number }): Promise<object> {
    await this.entries.write(id);
    return {};
  }
}

/** A schema whose resolvers, those of fields as well, run as those of `@nestjs/graphql`: with the application's interceptors. */
function schemaOf(running: INestApplication): GraphQLSchema {
  const schema = buildSchema(`
    type Written { ids: [Int!]! }
    type Query { ids: [Int!]! }
    type Mutation { write(id: Int!): Written!, ids: [Int!]! }`);
  const resolver = running.get(EntriesResolver);
  for (const type of ['Written', 'Query', 'Mutation']) {
    const fields = (schema.getType(type) as GraphQLObjectType).getFields();
    for (const [name, field] of Object.entries(fields)) {
      const method = resolver[name as 'ids' | 'write'] as (...given: unknown[]) => unknown;
      field.resolve = running
        .get(ExternalContextCreator)
        .create(resolver, method, name, undefined, undefined, undefined, undefined, undefined, 'graphql');
    }
  }
  return schema;
}

function testing(replicas: DatabaseOptions['replicas']): TestingModuleBuilder {
  @Module({
    imports: [PoolingModule.forRoot({ database: { url: laboratory.cluster.url, replicas }, http: false })],
    controllers: [EntriesController],
    providers: [Entries, EntriesResolver],
  })
  class ApplicationModule {}
  return Test.createTestingModule({ imports: [ApplicationModule] });
}

/** Starts an application, and gives what its routes answer. */
async function start(replicas: DatabaseOptions['replicas']): Promise<(path: string) => Promise<unknown>> {
  const module = await testing(replicas).compile();
  application = module.createNestApplication();
  await application.listen(0, '127.0.0.1');
  const url = (await application.getUrl()).replace('[::1]', '127.0.0.1');
  return async (path) => {
    const response = await fetch(`${url}/${path}`);
    const text = await response.text();
    return path === 'metrics' ? text : (JSON.parse(text) as unknown);
  };
}

function hosts(): NonNullable<DatabaseOptions['replicas']>['hosts'] {
  return laboratory.standbys.map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port }));
}

function readsOf(): Readonly<Record<string, number>> {
  const reads = application?.get(PoolRegistry).database().statistics().replicas?.reads;
  return { ...reads };
}

describe('an application with replicas', { timeout: 60_000 }, () => {
  it('reads from them in each request what that has written, and in others what has arrived', async () => {
    const get = await start({ hosts: hosts() });
    await vi.waitFor(async () => {
      await get('entries');
      expect(readsOf()['replica']).toBeGreaterThan(0);
    }, 20_000);
    await laboratory.pause();
    expect(await get('entries/write/1')).toEqual([1]);
    await vi.waitFor(async () => expect(await get('entries')).toEqual([]), 20_000);
    expect(await get('entries/write/2')).toEqual([1, 2]);
    // What a guard writes belongs to no request, and is seen by all.
    expect(await get('entries/guarded')).toEqual([1, 2, 100]);
    expect(await get('entries')).toEqual([1, 2, 100]);
  });

  it('reads in each resolver of a GraphQL operation what the others have written, and in other operations what has arrived', async () => {
    const get = await start({ hosts: hosts() });
    const schema = schemaOf(application as INestApplication);
    const operate = async (source: string, contextValue: unknown = {}): Promise<unknown> => {
      const { data, errors } = await graphql({ schema, source, contextValue });
      if (errors !== undefined) throw errors[0] as Error;
      return JSON.parse(JSON.stringify(data)) as unknown;
    };
    await vi.waitFor(async () => {
      await get('entries');
      expect(readsOf()['replica']).toBeGreaterThan(0);
    }, 20_000);
    await laboratory.pause();
    expect(await operate('mutation { write(id: 1) { ids } }')).toEqual({ write: { ids: [1] } });
    await vi.waitFor(async () => expect(await operate('{ ids }')).toEqual({ ids: [] }), 20_000);
    expect(await operate('mutation { one: write(id: 2) { ids } two: write(id: 3) { ids } ids }')).toEqual({
      one: { ids: [1, 2] },
      two: { ids: [1, 2, 3] },
      ids: [1, 2, 3],
    });
    // Without a context there is nothing to know them by.
    expect(await operate('mutation { write(id: 4) { ids } }', null)).toHaveProperty('write');
    // What a request around the operation has to see, it sees, also where operations share a context.
    const shared = {};
    const token = await withConsistency(undefined, async () => {
      await application?.get(Entries).write(5);
      return consistencyToken(application?.get(getDbToken()) as Kysely<Tables>);
    });
    await vi.waitFor(async () => expect(await operate('{ ids }', shared)).toEqual({ ids: [] }), 20_000);
    expect(await withConsistency(token, () => operate('{ ids }', shared))).toEqual({ ids: [1, 2, 3, 4, 5] });
  });

  it('is degraded while one of them is down, and says so in its metrics', async () => {
    const get = await start({ hosts: hosts() });
    const port = laboratory.standbys[0]?.proxy.port;
    await vi.waitFor(async () => {
      expect(await get('health')).toMatchObject({
        details: { database: { status: 'up', replicas: 2, replicasUp: 2 } },
      });
    }, 20_000);
    await get('entries');
    const metrics = await get('metrics');
    expect(metrics).toMatch(
      new RegExp(`db_pool_host_connections\\{pool="default",host="127.0.0.1:${port}",role="standby"\\} \\d`),
    );
    expect(metrics).toMatch(new RegExp(`db_pool_replica_lag_seconds\\{pool="default",host="127.0.0.1:${port}"\\} \\d`));
    expect(metrics).toMatch(/db_pool_replica_reads_total\{pool="default",outcome="(replica|waited|primary)"\} [1-9]/);
    await laboratory.standbys[0]?.proxy.reset();
    laboratory.standbys[0]?.proxy.cut('rst');
    await vi.waitFor(async () => {
      expect(await get('health')).toMatchObject({
        details: { database: { status: 'degraded', replicas: 2, replicasUp: 1 } },
      });
    }, 20_000);
  });

  it('injects the database itself where it has none', async () => {
    await start(undefined);
    expect(application?.get(getReplicaDbToken())).toBe(application?.get(getDbToken()));
  });

  it('reads from what a test has put in the place of the database, or of its replicas', async () => {
    const fake = { selectFrom: () => undefined };
    const replaced = await testing({ hosts: hosts() }).overrideProvider(getDbToken()).useValue(fake).compile();
    expect(replaced.get(getReplicaDbToken())).toBe(fake);
    await replaced.close();
    const other = { selectFrom: () => undefined };
    const both = await testing({ hosts: hosts() }).overrideProvider(getReplicaDbToken()).useValue(other).compile();
    expect(both.get(Entries).replicas).toBe(other);
    expect(both.get(getDbToken())).not.toBe(other);
    await both.close();
  });
});
