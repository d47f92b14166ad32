import { inspect } from 'node:util';
import { NestFactory } from '@nestjs/core';
import type { PostgresCluster, PostgresServer } from 'nestjs-pooling/testing';
import { startCarrier } from '../../carrier/src/carrier.js';
import { AppModule } from './app.module.js';
import { startDatabaseCluster, startDatabaseServer } from './database/database-server.js';
import { DatabaseSetup } from './database/database-setup.js';
import { readSettings } from './settings.js';
import { breakTheCluster, welcome } from './welcome.js';

async function start(): Promise<void> {
  const settings = readSettings(process.env, process.argv.slice(2));
  const traces = settings.traces ? (await import('./traces/tracing.js')).startTracing() : undefined;
  const [cluster, server, carrier] = await Promise.all([
    settings.cluster ? startDatabaseCluster() : undefined,
    settings.cluster || settings.databaseUrl !== undefined ? undefined : startDatabaseServer(settings.dataDirectory),
    settings.carrierUrl === undefined ? startCarrier(settings.carrierPort) : undefined,
  ]);
  const databaseUrl = settings.databaseUrl ?? ((cluster ?? server)?.url as string);
  const carrierUrl = settings.carrierUrl ?? ((await carrier?.getUrl()) as string);

  const app = await NestFactory.create(
    AppModule.forRoot({ ...settings, databaseUrl, carrierUrl }, { traces, cluster }),
    {
      logger: ['error', 'warn', 'log'],
      abortOnError: false,
    },
  );
  app.enableShutdownHooks([], { useProcessExit: true });
  // Refuses to go on when the database can't be reached (startup: 'required').
  await app.init();
  await app.get(DatabaseSetup).prepare();
  await app.listen(settings.port, settings.host);

  const shop = await app.getUrl();
  const { traces: traced } = settings;
  process.stdout.write(welcome({ shop, carrier: carrierUrl, database: databaseOf(cluster, server), traced }));
  if (cluster !== undefined) process.stdout.write(breakTheCluster(shop));
}

function databaseOf(cluster: PostgresCluster | undefined, server: PostgresServer | undefined): string {
  if (cluster !== undefined) {
    const [primary, ...standbys] = cluster.nodes.map(({ name, proxy }) => `${name} (port ${proxy.port})`);
    return `its own cluster: ${primary} is the primary, ${standbys.join(' and ')} are its standbys`;
  }
  return server === undefined ? 'the one that DATABASE_URL names' : `its own, with its data in ${server.dataDirectory}`;
}

try {
  await start();
} catch (error) {
  process.stderr.write(`The shop could not start: ${inspect(error)}\n`);
  process.exit(1);
}
