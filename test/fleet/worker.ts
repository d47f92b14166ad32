/**
 * A process of a fleet: a Nest application that answers each request with a statement, says by its readiness that it leaves,
 * and ends in order at SIGTERM.
 */
import 'reflect-metadata';
import { Controller, Get, HttpException, Module, Post, Query } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectDbPool, PoolingModule, type DatabasePool, type DatabasePoolStatistics } from 'nestjs-pooling';
import type { WorkerSettings } from './worker-process.js';

const { url, budget, drainDelayMs, readsStandbys } = JSON.parse(
  process.env['FLEET_WORKER'] as string,
) as WorkerSettings;

async function answered(pool: DatabasePool, text: string, value: unknown): Promise<string> {
  try {
    await pool.query(text, [value]);
    return 'ok';
  } catch (error) {
    const { code, cause, message } = error as Error & { code?: string; cause?: { code?: string } };
    throw new HttpException({ code, cause: cause?.code, message }, 503);
  }
}

const SLEEP = 'select pg_sleep($1::float8 / 1000)';

@Controller()
class WorkController {
  constructor(@InjectDbPool() private readonly pool: DatabasePool) {}

  @Get('work')
  work(@Query('ms') ms: string): Promise<string> {
    return answered(this.pool, SLEEP, Number(ms));
  }

  @Post('write')
  write(@Query('id') id: string): Promise<string> {
    return answered(this.pool, 'insert into written (id) values ($1)', id);
  }

  @Get('statistics')
  statistics(): DatabasePoolStatistics {
    return this.pool.statistics();
  }
}

@Controller()
class ReadController {
  constructor(@InjectDbPool('reads') private readonly pool: DatabasePool) {}

  @Get('read')
  read(@Query('ms') ms: string): Promise<string> {
    return answered(this.pool, SLEEP, Number(ms));
  }
}

/** What waits for a promotion waits for as long as it may take. */
const acquireTimeoutMs = 30_000;

@Module({
  imports: [
    PoolingModule.forRoot({
      health: { path: 'health' },
      metrics: false,
      database: { url, applicationName: 'fleet', size: 60, maxOverflow: 0, minIdle: 1, budget, acquireTimeoutMs },
      http: false,
      shutdown: { drainDelayMs },
    }),
    ...(readsStandbys
      ? [
          PoolingModule.forDatabase({
            name: 'reads',
            url,
            applicationName: 'fleet-reads',
            targetSessionAttrs: 'prefer-standby',
            acquireTimeoutMs,
          }),
        ]
      : []),
  ],
  controllers: [WorkController, ...(readsStandbys ? [ReadController] : [])],
})
class WorkerModule {}

const application = await NestFactory.create(WorkerModule, { logger: ['error', 'warn'] });
application.enableShutdownHooks([], { useProcessExit: true });
await application.listen(0, '127.0.0.1');
process.stdout.write(`port ${new URL(await application.getUrl()).port}\n`);
