import type { ConnectionProvider, DatabaseConnection } from 'kysely';

/** The connection of a provider that gives it at once: Kysely puts the one of a transaction into such a provider. */
export function providedConnection(provider: ConnectionProvider): DatabaseConnection | undefined {
  let found: DatabaseConnection | undefined;
  provider
    .provideConnection((connection) => {
      found = connection;
      return Promise.resolve();
    })
    .catch(() => undefined);
  return found;
}
