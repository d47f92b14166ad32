/**
 * An application whose jobs come from BullMQ. `ORDER` says whether PoolingModule is imported before or after it,
 * `REDIS_PORT` where its queue is: in the database without one.
 */
import 'reflect-metadata';
import { BullModule, getQueueToken, Processor, WorkerHost } from '@nestjs/bullmq';
import { Module, type BeforeApplicationShutdown } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createPostgresBackend, runMigrations, setDefaultBackendFactory, type Queue } from 'bullmq';
import { getDbPoolToken, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { Work } from './work.js';

@Processor('letters')
class Letters extends WorkerHost implements BeforeApplicationShutdown {
  constructor(private readonly work: Work) {
    super();
  }

  process(): Promise<void> {
    return this.work.run();
  }

  beforeApplicationShutdown(): void {
    console.log('application: ends');
  }
}

const pools = [
  PoolingModule.forRoot({ database: { url: process.env['DATABASE_URL'] }, http: false }),
  PoolingModule.forDatabase({ name: 'queues', session: { search_path: 'bullmq' } }),
];
const port = process.env['REDIS_PORT'];
if (port === undefined) setDefaultBackendFactory(createPostgresBackend);
const connections = {
  redis: () => BullModule.forRoot({ connection: { host: '127.0.0.1', port: Number(port) } }),
  postgres: () =>
    BullModule.forRootAsync({
      inject: [getDbPoolToken('queues')],
      useFactory: async (pool: DatabasePool) => {
        await pool.withConnection((client) => runMigrations(client, 'bullmq'));
        return { connection: pool as never };
      },
    }),
};
const queues = [
  connections[port === undefined ? 'postgres' : 'redis'](),
  BullModule.registerQueue({ name: 'letters' }),
];

@Module({
  imports: process.env['ORDER'] === 'before' ? [...pools, ...queues] : [...queues, ...pools],
  providers: [Work, Letters],
})
class ApplicationModule {}

const application = await NestFactory.createApplicationContext(ApplicationModule, { logger: ['warn', 'error'] });
application.enableShutdownHooks([], { useProcessExit: true });
void application.get(Work).watch();
await application.get<Queue>(getQueueToken('letters')).add('letter', {});
