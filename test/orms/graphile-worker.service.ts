import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Logger as WorkerLogger, run, type AddJobFunction, type Runner } from 'graphile-worker';
import { InjectDbPool, type DatabasePool } from 'nestjs-pooling';

@Injectable()
export class GraphileWorker implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(GraphileWorker.name);
  private runner?: Runner;

  constructor(@InjectDbPool() private readonly pool: DatabasePool) {}

  async onApplicationBootstrap(): Promise<void> {
    // It warns about a pool without these listeners; this one needs none.
    this.pool.on('error', () => undefined).on('connect', () => undefined);
    this.runner = await run({
      pgPool: this.pool,
      concurrency: 2,
      noHandleSignals: true, // Nest's shutdown hooks stop it
      logger: new WorkerLogger(() => (level, message) => {
        if (level === 'error') this.logger.error(message);
        else this.logger.debug(message);
      }),
      taskList: {
        letter: async (payload, { query }) => {
          await query('insert into letter (body) values ($1)', [JSON.stringify(payload)]);
        },
      },
    });
  }

  readonly addJob: AddJobFunction = (...job) => {
    if (this.runner === undefined) throw new Error('the application has not started');
    return this.runner.addJob(...job);
  };

  async onModuleDestroy(): Promise<void> {
    await this.runner?.stop(); // before the pool closes: it gives back the connection that it listens on
  }
}
