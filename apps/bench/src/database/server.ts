import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { PostgresServer } from '../../../../libs/pooling/src/testing/postgres-server.js';
import { familyOf } from '../race/machine.js';
import { createTables, resetTables, writtenRows } from './schema.js';

/** Enough for every candidate's pool at once. */
const MAX_CONNECTIONS = 500;

/** The PostgreSQL that candidates are measured against, with its tables, and a connection to look after them. */
export class BenchServer implements AsyncDisposable {
  readonly #server: PostgresServer;
  readonly #control: pg.Client;
  /** The process id of the server's first process. */
  readonly postmaster: number;

  private constructor(server: PostgresServer, control: pg.Client, postmaster: number) {
    this.#server = server;
    this.#control = control;
    this.postmaster = postmaster;
  }

  /** Starts a server with filled tables. Nothing is synchronised with its disk, and nothing cleans up by itself. */
  static async start(): Promise<BenchServer> {
    const server = await PostgresServer.start({
      authentication: 'trust',
      maxConnections: MAX_CONNECTIONS,
      settings: { shared_buffers: '256MB', autovacuum: 'off', max_wal_size: '4GB', checkpoint_timeout: '1h' },
    });
    const control = new pg.Client({ connectionString: server.url, application_name: 'bench control' });
    control.on('error', () => undefined);
    await control.connect();
    await createTables(control);
    const [postmaster] = (await readFile(join(server.dataDirectory, 'postmaster.pid'), 'utf8')).split('\n');
    return new BenchServer(server, control, Number(postmaster));
  }

  get url(): string {
    return this.#server.url;
  }

  get port(): number {
    return this.#server.port;
  }

  /** The version of the server. */
  async version(): Promise<string> {
    const { rows } = await this.#control.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version ?? '';
  }

  /** The server's processes that work for an application, by its name. */
  async backendsOf(applicationName: string): Promise<number[]> {
    const { rows } = await this.#control.query<{ pid: number }>(
      'select pid from pg_stat_activity where application_name = $1',
      [applicationName],
    );
    return rows.map(({ pid }) => pid);
  }

  /** All of the server's processes. */
  family(): number[] {
    return familyOf(this.postmaster);
  }

  /** Undoes what was written. */
  async reset(): Promise<void> {
    await resetTables(this.#control);
  }

  /** What was written since the last reset. */
  async written(): Promise<unknown> {
    return writtenRows(this.#control);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#control.end();
    await this.#server.close();
  }
}
