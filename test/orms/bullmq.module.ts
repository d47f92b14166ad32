import { BullModule, OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import { Logger, Module } from '@nestjs/common';
import { createPostgresBackend, runMigrations, setDefaultBackendFactory, type Job } from 'bullmq';
import { getDbPoolToken, InjectDbPool, PoolingModule, type DatabasePool } from 'nestjs-pooling';

setDefaultBackendFactory(createPostgresBackend); // PostgreSQL in the place of Redis, for all queues of the process

const SCHEMA = 'bullmq'; // BullMQ's own name: it takes no other one with a pool that it is given

@Processor('letters')
export class Letters extends WorkerHost {
  private readonly logger = new Logger(Letters.name);

  constructor(@InjectDbPool() private readonly pool: DatabasePool) {
    super();
  }

  async process(job: Job<{ body: string }>): Promise<void> {
    await this.pool.query('insert into letter (body) values ($1)', [job.data.body]);
  }

  @OnWorkerEvent('error')
  onError({ message }: Error): void {
    this.logger.error(message);
  }
}

@Module({
  imports: [
    // BullMQ finds its tables by the search path: it gets a pool of its own, here to the same DATABASE_URL.
    PoolingModule.forDatabase({ name: 'queues', size: 4, maxOverflow: 0, session: { search_path: SCHEMA } }),
    BullModule.forRootAsync({
      inject: [getDbPoolToken('queues')],
      useFactory: async (pool: DatabasePool) => {
        await pool.withConnection((client) => runMigrations(client, SCHEMA)); // or once, when you deploy
        return { connection: pool as never }; // its type knows Redis alone
      },
    }),
    BullModule.registerQueue({ name: 'letters' }),
  ],
  providers: [Letters],
})
export class QueuesModule {}
