/**
 * An application with a cron job. `JOB` says what the job does, `ORDER` whether PoolingModule is imported before or after
 * the scheduler, `WAITS` whether the application waits for its job.
 */
import 'reflect-metadata';
import { Injectable, Module, type OnModuleDestroy } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { PoolingModule } from 'nestjs-pooling';
import { Work } from './work.js';

@Injectable()
class Letters implements OnModuleDestroy {
  constructor(
    private readonly work: Work,
    private readonly registry: SchedulerRegistry,
  ) {}

  @Cron('* * * * * *', { name: 'letters', waitForCompletion: true })
  write(): Promise<void> {
    return this.work.run();
  }

  async onModuleDestroy(): Promise<void> {
    console.log('application: ends');
    if (process.env['WAITS'] === 'yes') await this.registry.getCronJob('letters').stop();
  }
}

const pooling = PoolingModule.forRoot({ database: { url: process.env['DATABASE_URL'] }, http: false });
const scheduler = ScheduleModule.forRoot();

@Module({
  imports: process.env['ORDER'] === 'before' ? [pooling, scheduler] : [scheduler, pooling],
  providers: [Work, Letters],
})
class ApplicationModule {}

const application = await NestFactory.createApplicationContext(ApplicationModule, { logger: ['warn', 'error'] });
application.enableShutdownHooks([], { useProcessExit: true });
void application.get(Work).watch();
