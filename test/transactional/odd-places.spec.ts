import {
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  Query,
  UseGuards,
  UseInterceptors,
  UsePipes,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
  type PipeTransform,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { defer, from, lastValueFrom, map, type Observable } from 'rxjs';
import request from 'supertest';
import {
  afterCommit,
  createKysely,
  DatabasePool,
  getDbPoolToken,
  InjectDb,
  PoolingModule,
  Transactional,
  transactional,
} from 'nestjs-pooling';
import { useTestDatabase } from '#test/support/database.js';
import { Laboratory, rejection, type Tables } from './laboratory.js';

const database = useTestDatabase('create table entry (name text not null unique)');
beforeEach(() => database.query('truncate entry'));

async function committed(): Promise<string[]> {
  const rows = await database.query<{ name: string }>('select name from entry order by name');
  return rows.map(({ name }) => name);
}

@Injectable()
class Entries {
  constructor(@InjectDb() readonly db: Kysely<Tables>) {}

  async write(name: string): Promise<void> {
    await this.db.insertInto('entry').values({ name }).execute();
  }

  async transactionId(): Promise<string> {
    const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(this.db);
    return rows[0]!.id;
  }
}

/** Lets in whoever says so, and writes that down. */
@Injectable()
class WritingGuard implements CanActivate {
  constructor(private readonly entries: Entries) {}

  @Transactional()
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const { query } = context.switchToHttp().getRequest<{ query: { in?: string } }>();
    await this.entries.write('guard');
    if (query.in === 'no') throw new Error('refused');
    return true;
  }
}

@Injectable()
class WritingPipe implements PipeTransform<string, Promise<string>> {
  constructor(private readonly entries: Entries) {}

  @Transactional()
  async transform(name: string): Promise<string> {
    await this.entries.write(`pipe of ${name}`);
    return name;
  }
}

/** Is around the handler, whose answer it passes on. */
@Injectable()
class PassingInterceptor implements NestInterceptor {
  constructor(private readonly entries: Entries) {}

  @Transactional()
  async intercept(_context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    await this.entries.write('interceptor');
    return next.handle();
  }
}

/** Runs the handler within its transaction. */
@Injectable()
class WholeInterceptor implements NestInterceptor {
  constructor(private readonly entries: Entries) {}

  @Transactional()
  async intercept(_: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    await this.entries.write('interceptor');
    const answer: unknown = await lastValueFrom(next.handle());
    return from([answer]);
  }
}

/** Two fields of one query, as GraphQL resolves them: at the same time, each by its own method. */
@Injectable()
class Resolvers {
  constructor(private readonly entries: Entries) {}

  @Transactional()
  async field(name: string): Promise<string> {
    const id = await this.entries.transactionId();
    await this.entries.write(name);
    await sleep(1);
    if ((await this.entries.transactionId()) !== id) throw new Error('another transaction');
    return id;
  }

  @Transactional()
  async mutation(): Promise<string[]> {
    return await Promise.all(['a', 'b', 'c'].map((name) => this.field(name)));
  }
}

@Controller()
class OddController {
  constructor(
    private readonly entries: Entries,
    private readonly resolvers: Resolvers,
  ) {}

  @Get('guarded')
  @UseGuards(WritingGuard)
  async guarded(): Promise<string> {
    await this.entries.write('handler');
    return 'done';
  }

  @Get('piped/:name')
  @UsePipes(WritingPipe)
  piped(@Param('name') name: string): string {
    return name;
  }

  @Get('passed')
  @UseInterceptors(PassingInterceptor)
  async passed(@Query('fail') fail?: string): Promise<string> {
    await this.entries.write('handler');
    if (fail !== undefined) throw new Error('rolled back');
    return 'done';
  }

  @Get('whole')
  @UseInterceptors(WholeInterceptor)
  async whole(@Query('fail') fail?: string): Promise<string> {
    await this.entries.write('handler');
    if (fail !== undefined) throw new Error('rolled back');
    return 'done';
  }

  /** Nest reads what it is given. */
  @Get('observed')
  @Transactional()
  async observed(@Query('fail') fail?: string): Promise<Observable<string>> {
    await this.entries.write('before');
    return defer(() => from(this.entries.write('when it is read'))).pipe(
      map(() => {
        if (fail !== undefined) throw new Error('rolled back');
        return 'done';
      }),
    );
  }

  @Get('iterated')
  @Transactional()
  async iterated(): Promise<AsyncIterable<unknown>> {
    await this.entries.write('before');
    return this.entries.db.selectFrom('entry').selectAll().stream();
  }

  @Get('query')
  async query(): Promise<number> {
    const ids = await Promise.all(['a', 'b', 'c'].map((name) => this.resolvers.field(name)));
    return new Set(ids).size;
  }

  @Get('mutation')
  async mutation(): Promise<number> {
    return new Set(await this.resolvers.mutation()).size;
  }
}

@Module({
  controllers: [OddController],
  providers: [Entries, Resolvers, WritingGuard, WritingPipe, PassingInterceptor, WholeInterceptor],
})
class OddModule {}

async function start(): Promise<INestApplication> {
  const pooling = PoolingModule.forRoot({
    database: { url: database.url },
    http: false,
    health: false,
    metrics: false,
  });
  const module = await Test.createTestingModule({ imports: [pooling, OddModule] }).compile();
  const application = module.createNestApplication({ logger: false });
  await application.init();
  return application;
}

describe('@Transactional() around a request', () => {
  let application: INestApplication;
  beforeAll(async () => {
    application = await start();
  });
  afterAll(() => application.close());
  afterEach(async () => {
    // After a failed statement a connection waits for the server to be ready before it is idle.
    await vi.waitFor(() => {
      const { inUse, waiting } = application.get<DatabasePool>(getDbPoolToken()).statistics();
      expect([inUse, waiting]).toEqual([0, 0]);
    }, 10_000);
  });

  const get = async (path: string): Promise<{ status: number; text: string }> =>
    await request(application.getHttpServer() as never).get(path);

  it('in a guard ends with the guard', async () => {
    expect((await get('/guarded')).status).toBe(200);
    expect(await committed()).toEqual(['guard', 'handler']);
    await database.query('truncate entry');
    expect((await get('/guarded?in=no')).status).toBe(500);
    expect(await committed()).toEqual([]);
  });

  it('in a pipe ends with the pipe', async () => {
    expect(await get('/piped/one')).toMatchObject({ status: 200, text: 'one' });
    expect(await committed()).toEqual(['pipe of one']);
  });

  it.each(['/whole', '/passed'])('in an interceptor is around the handler: GET %s', async (path) => {
    expect(await get(path)).toMatchObject({ status: 200, text: 'done' });
    expect(await committed()).toEqual(['handler', 'interceptor']);
    await database.query('truncate entry');
    expect((await get(`${path}?fail`)).status).toBe(500);
    expect(await committed()).toEqual([]);
  });

  it('is around what an Observable does that the method gave, and undone when that fails', async () => {
    expect(await get('/observed')).toMatchObject({ status: 200, text: 'done' });
    expect(await committed()).toEqual(['before', 'when it is read']);
    await database.query('truncate entry');
    expect((await get('/observed?fail')).status).toBe(500);
    expect(await committed()).toEqual([]);
  });

  it('is refused, and undone, around an iterator that is read when it is over', async () => {
    expect((await get('/iterated')).status).toBe(500);
    expect(await committed()).toEqual([]);
  });

  it('of fields that are resolved at the same time is one for each, or the one around them', async () => {
    expect(await get('/query')).toMatchObject({ status: 200, text: '3' });
    await database.query('truncate entry');
    expect(await get('/mutation')).toMatchObject({ status: 200, text: '1' });
    expect(await committed()).toEqual(['a', 'b', 'c']);
  });
});

describe('an application that closes', () => {
  it('lets a transaction end that has begun, and runs its hooks, whose queries are refused', async () => {
    const application = await start();
    const entries = application.get(Entries);
    const pool = application.get<DatabasePool>(getDbPoolToken());
    let hook: unknown;
    let closed: Promise<unknown> | undefined;
    await transactional(entries.db, async () => {
      await entries.write('one');
      closed = pool.close({ deadlineMs: 60_000 });
      await sleep(5);
      await entries.write('two');
      afterCommit(async () => {
        hook = await rejection(entries.write('three'));
      });
    });
    await closed;
    expect(hook).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(await committed()).toEqual(['one', 'two']);
    await application.close();
  });

  it('refuses the first statement of one that has sent none', async () => {
    const application = await start();
    const entries = application.get(Entries);
    const error = await rejection(
      transactional(entries.db, async () => {
        await application.close();
        await entries.write('one');
      }),
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(await committed()).toEqual([]);
  });

  it('takes the connection from one that does not end: it is rolled back, and hears of it', async () => {
    const application = await start();
    const entries = application.get(Entries);
    const pool = application.get<DatabasePool>(getDbPoolToken());
    const error = await rejection(
      transactional(entries.db, async () => {
        await entries.write('one');
        expect((await pool.close({ deadlineMs: 20 })).graceful).toBe(false);
        await entries.write('two');
      }),
    );
    expect(error).toBeInstanceOf(Error);
    expect(await committed()).toEqual([]);
    await application.close();
  });
});

describe('what is called in a transaction', () => {
  let laboratory: Laboratory;
  beforeAll(async () => {
    laboratory = await Laboratory.open({ size: 20 });
  });
  afterAll(() => laboratory[Symbol.asyncDispose]());
  beforeEach(() => laboratory.clear());

  it('all modes at once are what they are one by one', async () => {
    const { db } = laboratory;
    const write =
      (name: string, fails = false) =>
      async (): Promise<void> => {
        await laboratory.write(name);
        if (fails) throw new Error(name);
      };
    const run = (
      propagation: Parameters<typeof transactional>[1] extends infer O ? O : never,
      fn: () => Promise<void>,
    ) => transactional(db, propagation as never, fn).catch(() => undefined);
    await transactional(db, async () => {
      await Promise.all([
        run({ propagation: 'required' }, write('required')),
        run({ propagation: 'nested' }, write('nested')),
        run({ propagation: 'nested' }, write('nested, undone', true)),
        run({ propagation: 'requires-new' }, write('requires-new')),
        run({ propagation: 'requires-new' }, write('requires-new, undone', true)),
        run({ propagation: 'mandatory' }, write('mandatory')),
        run({ propagation: 'supports' }, write('supports')),
        run({ propagation: 'not-supported' }, write('not-supported')),
        run({ propagation: 'never' }, write('never')),
        db.transaction().execute(write('of Kysely')),
      ]);
    });
    expect(await laboratory.committed()).toEqual([
      'mandatory',
      'nested',
      'not-supported',
      'of Kysely',
      'required',
      'requires-new',
      'supports',
    ]);
  });

  it('a listener of an emitter belongs to it while it runs, and is refused afterwards', async () => {
    const emitter = new EventEmitter();
    const heard: Promise<unknown>[] = [];
    let goOn!: () => void;
    emitter.on('placed', (name: string) => {
      heard.push(laboratory.write(`${name}, at once`));
      const later = new Promise<void>((resolve) => (goOn = resolve));
      heard.push(later.then(() => laboratory.write(`${name}, later`)));
      heard.at(-1)!.catch(() => undefined);
    });
    await transactional(laboratory.db, async () => {
      emitter.emit('placed', 'inside');
      await heard[0];
    });
    goOn();
    expect(await rejection(heard[1]!)).toMatchObject({ code: 'ERR_POOL_TRANSACTION_OVER' });
    emitter.emit('placed', 'outside');
    goOn();
    await Promise.all(heard.slice(2));
    expect(await laboratory.committed()).toEqual(['inside, at once', 'outside, at once', 'outside, later']);
  });

  it('hooks that throw whatever there is are told, and the others run', async () => {
    const told: unknown[] = [];
    await using pool = new DatabasePool(
      'odd',
      { url: laboratory.database.url },
      { observer: { hookFailed: ({ error }) => void told.push(error) } },
    );
    const db = createKysely<Tables>(pool);
    const calls: string[] = [];
    await transactional(db, async () => {
      await db.insertInto('entry').values({ name: 'one' }).execute();
      for (const thrown of [undefined, null, 'text', new Error('error')]) {
        afterCommit(() => {
          throw thrown;
        });
      }
      afterCommit(() => {
        afterCommit(() => void calls.push('in a hook, at once'));
        calls.push('last');
      });
    });
    expect(told).toEqual([undefined, null, 'text', new Error('error')]);
    expect(calls).toEqual(['in a hook, at once', 'last']);
  });

  it('two of Kysely over one pool have the same transaction', async () => {
    const other = createKysely<Tables>(laboratory.pool);
    const error = await rejection(
      transactional(laboratory.db, async () => {
        await other.insertInto('entry').values({ name: 'other' }).execute();
        await transactional(other, () => laboratory.write('one'));
        throw new Error('rolled back');
      }),
    );
    expect(error.message).toBe('rolled back');
    expect(await laboratory.committed()).toEqual([]);
  });

  it('what it throws is what its caller gets, whatever that is', async () => {
    for (const thrown of [undefined, null, 0, 'text', { a: 1 }]) {
      const caught = await transactional(laboratory.db, async () => {
        await laboratory.write('one');
        throw thrown;
      }).then(
        () => 'none',
        (error: unknown) => ({ error }),
      );
      expect(caught).toEqual({ error: thrown });
    }
    expect(await laboratory.committed()).toEqual([]);
  });

  it('an abort of its tries ends the pause before the next one, and its first statement may still wait', async () => {
    const abort = new AbortController();
    const reason = new Error('nobody waits');
    let tries = 0;
    const retried = transactional(
      laboratory.db,
      { retry: { attempts: 100, baseDelayMs: 60_000, maxDelayMs: 60_000, random: () => 0.9, signal: abort.signal } },
      async () => {
        tries++;
        await laboratory.write('one');
        setTimeout(() => abort.abort(reason), 1);
        await sql`do $$ begin raise exception using errcode = '40001'; end $$`.execute(laboratory.db);
      },
    );
    expect(await rejection(retried)).toBe(reason);
    expect(tries).toBe(1);
    expect(await laboratory.committed()).toEqual([]);
    expect(laboratory.pool.statistics().inUse).toBe(0);
  });

  it('a time limit that comes while BEGIN is under way leaves nothing', async () => {
    for (let timeoutMs = 1; timeoutMs <= 12; timeoutMs++) {
      await transactional(laboratory.db, { timeoutMs }, async () => {
        await laboratory.write(`in ${timeoutMs} ms`);
        await sleep(200);
      }).catch((error: { code: string }) => expect(error.code).toBe('ERR_POOL_TRANSACTION_TIMEOUT'));
    }
    expect(await laboratory.committed()).toEqual([]);
    await vi.waitFor(() => expect(laboratory.pool.statistics().inUse).toBe(0), 10_000);
    await transactional(laboratory.db, () => laboratory.write('good'));
    expect(await laboratory.committed()).toEqual(['good']);
  });
});
