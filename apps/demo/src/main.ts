import { inspect } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { startCarrier } from '../../carrier/src/carrier.js';
import { AppModule } from './app.module.js';
import { startDatabaseServer } from './database/database-server.js';
import { DatabaseSetup } from './database/database-setup.js';
import { readSettings } from './settings.js';
import { welcome } from './welcome.js';

async function start(): Promise<void> {
  const settings = readSettings(process.env);
  const traces = settings.traces ? (await import('./traces/tracing.js')).startTracing() : undefined;
  const [server, carrier] = await Promise.all([
    settings.databaseUrl === undefined ? startDatabaseServer(settings.dataDirectory) : undefined,
    settings.carrierUrl === undefined ? startCarrier(settings.carrierPort) : undefined,
  ]);
  const databaseUrl = settings.databaseUrl ?? (server?.url as string);
  const carrierUrl = settings.carrierUrl ?? ((await carrier?.getUrl()) as string);

  const app = await NestFactory.create(AppModule.forRoot({ ...settings, databaseUrl, carrierUrl }, traces), {
    logger: ['error', 'warn', 'log'],
    abortOnError: false,
  });
  app.enableShutdownHooks([], { useProcessExit: true });
  // Refuses to go on when the database can't be reached (startup: 'required').
  await app.init();
  await app.get(DatabaseSetup).prepare();
  await app.listen(settings.port, settings.host);

  const database =
    server === undefined ? 'the one that DATABASE_URL names' : `its own, with its data in ${server.dataDirectory}`;
  process.stdout.write(welcome({ shop: await app.getUrl(), carrier: carrierUrl, database, traced: settings.traces }));
}

try {
  await start();
} catch (error) {
  process.stderr.write(`The shop could not start: ${inspect(error)}\n`);
  process.exit(1);
}
