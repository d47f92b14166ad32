import { Module, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Kysely } from 'kysely';
import { DatabasePool, getDbToken, PoolingModule, type DatabaseOptions, type StaticOptions } from 'nestjs-pooling';
import { createKysely } from '../../../../libs/pooling/src/database/kysely/kysely.js';
import { HandlerLabels } from '../../../../libs/pooling/src/module/handler-labels.js';
import type { Tables } from '../database/candidates/kysely.js';
import { CUSTOMERS } from '../database/schema.js';
import { answerParent } from '../race/child.js';
import { Meter } from '../race/meter.js';
import { seededRandom } from '../race/random.js';
import type { Slice } from '../race/slice.js';

/** What is watched. */
export type Watching = 'nothing' | 'defaults' | 'stacks' | 'leaks' | 'console' | 'ten consoles';

const CALLERS = 16;
const SIZE = 10;
/** Nobody here holds a connection for so long. */
const LEAK_DETECTION_MS = 10_000;
const NOTHING: StaticOptions = { health: false, metrics: false, console: false };

interface Subject {
  readonly db: Kysely<Tables>;
  /** On whose behalf each query is made; `undefined`: nobody asks. */
  readonly labels?: HandlerLabels;
  readonly url?: string;
}

async function application(database: DatabaseOptions, statics: StaticOptions): Promise<Subject> {
  @Module({ imports: [PoolingModule.forRoot({ database, http: false, ...statics })] })
  class Application {}

  const started: INestApplication = await NestFactory.create(Application, { logger: ['error', 'warn'] });
  await started.listen(0, '127.0.0.1');
  const db = started.get<Kysely<Tables>>(getDbToken());
  const url = await started.getUrl();
  if ((database.leakDetectionMs ?? 0) === 0) return { db, url };
  return { db, url, labels: started.get(HandlerLabels, { strict: false }) };
}

const SUBJECTS: Readonly<Record<Watching, (database: DatabaseOptions) => Promise<Subject>>> = {
  nothing: (database) => application(database, NOTHING),
  defaults: (database) => application(database, {}),
  // Leak detection without Nest: no handler is known, so only the stacks cost.
  stacks: async (database) => ({
    db: createKysely<Tables>(new DatabasePool({ ...database, leakDetectionMs: LEAK_DETECTION_MS }), {}),
  }),
  leaks: (database) => application({ ...database, leakDetectionMs: LEAK_DETECTION_MS }, NOTHING),
  console: (database) => application(database, { ...NOTHING, console: {} }),
  'ten consoles': (database) => application(database, { ...NOTHING, console: {} }),
};

/** All in one process: two processes that do the same differ by more than what is looked for. */
const subjects = new Map<Watching, Subject>();
const meter = new Meter();

async function call({ db, labels }: Subject, random: () => number): Promise<void> {
  const select = (): Promise<unknown> =>
    db
      .selectFrom('customers')
      .select(['id', 'name', 'city', 'active', 'created_at'])
      .where('id', '=', 1 + Math.floor(random() * CUSTOMERS))
      .executeTakeFirst();
  for (let goOn = true; goOn;) {
    await (labels === undefined ? select() : labels.run('CustomersController.byId', select));
    goOn = meter.ended(undefined);
  }
}

answerParent({
  open: async (watching: Watching, url: string): Promise<string | undefined> => {
    const subject = await SUBJECTS[watching]({ url, size: SIZE, maxOverflow: 0, startup: 'lazy' });
    subjects.set(watching, subject);
    return subject.url;
  },
  slice: async (watching: Watching, durationMs: number, seed: number): Promise<Slice> => {
    const subject = subjects.get(watching);
    if (subject === undefined) throw new Error(`${watching} was not opened`);
    const random = seededRandom(seed);
    meter.start(durationMs, [], []);
    await Promise.all(Array.from({ length: CALLERS }, () => call(subject, random)));
    return meter.result();
  },
});
