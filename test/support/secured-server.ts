import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabasePool } from 'nestjs-pooling';
import { PostgresServer, type PostgresServerOptions } from 'nestjs-pooling/testing';
import { selfSignedCertificate } from './self-signed-certificate.js';

/** A PostgreSQL that asks for a password, and speaks TLS with a certificate for `localhost` that nobody knows. */
export interface SecuredServer {
  readonly server: PostgresServer;
  /** What to trust as its authority. */
  readonly certificate: string;
}

/** Starts a server that has TLS, and the password of its user `postgres`. */
export async function startSecuredServer(
  password: string,
  settings: PostgresServerOptions['settings'] = {},
): Promise<SecuredServer> {
  const { key, certificate } = selfSignedCertificate();
  const server = await PostgresServer.start({ password, settings });
  const { uid, gid } = await stat(server.dataDirectory);
  for (const [name, content] of [
    ['server.key', key],
    ['server.crt', certificate],
  ] as const) {
    const path = join(server.dataDirectory, name);
    await writeFile(path, content, { mode: 0o600 });
    // The server owns what it reads.
    await chown(path, uid, gid);
  }
  await using pool = new DatabasePool('setup', { url: server.url });
  await pool.query('alter system set ssl = on');
  await pool.query('select pg_reload_conf()');
  while ((await pool.query<{ ssl: string }>('show ssl')).rows[0]?.ssl !== 'on')
    await pool.query('select pg_sleep(0.01)');
  return { server, certificate };
}
