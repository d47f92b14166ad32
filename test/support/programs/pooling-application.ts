/** An application that a test stops from outside: `ADAPTER` is `express` or `fastify`, `DATABASE_URL` its database. */
import 'reflect-metadata';
import { Controller, Get, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { sql, type Kysely } from 'kysely';
import { getDbToken, PoolingModule } from 'nestjs-pooling';

@Controller()
class WorkController {
  constructor(@Inject(getDbToken()) private readonly db: Kysely<unknown>) {}

  /** Two queries with a wait in between: a pool that closes too early fails the second. */
  @Get('work')
  async work(): Promise<unknown> {
    await sql`select pg_sleep(0.01)::text`.execute(this.db);
    const { rows } = await sql`select pg_sleep(0.01)::text, 42 as answer`.execute(this.db);
    return rows[0];
  }
}

@Module({
  imports: [PoolingModule.forRoot({ database: { url: process.env['DATABASE_URL'] }, http: false })],
  controllers: [WorkController],
})
class ApplicationModule {}

const application = await (process.env['ADAPTER'] === 'fastify'
  ? NestFactory.create(ApplicationModule, new FastifyAdapter(), { logger: ['log', 'warn', 'error'] })
  : NestFactory.create(ApplicationModule, { logger: ['log', 'warn', 'error'] }));
application.enableShutdownHooks([], { useProcessExit: true });
await application.listen(0, '127.0.0.1');
console.log(`listening at ${await application.getUrl()}`);
