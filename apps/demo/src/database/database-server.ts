import { PostgresCluster, PostgresServer } from 'nestjs-pooling/testing';

/**
 * Starts the application's own PostgreSQL. Nobody stops it: it has to outlive the pools, and is shut down by its watchdog
 * when this process has ended, however that happens.
 */
export async function startDatabaseServer(dataDirectory: string): Promise<PostgresServer> {
  return PostgresServer.start({ dataDirectory, authentication: 'scram-sha-256' });
}

/** Starts a primary and two standbys instead, which end in the same way, and whose data nobody keeps. */
export async function startDatabaseCluster(): Promise<PostgresCluster> {
  return PostgresCluster.start();
}
