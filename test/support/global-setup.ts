import { PostgresServer } from 'nestjs-pooling/testing';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The address of the PostgreSQL that the whole run shares; see `createTestDatabase()`. */
    databaseUrl: string;
  }
}

/** One PostgreSQL for the whole run; tests that stop or freeze theirs start one of their own. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const server = await PostgresServer.start({ authentication: 'trust', maxConnections: 300 });
  project.provide('databaseUrl', server.url);
  return () => server.close();
}
