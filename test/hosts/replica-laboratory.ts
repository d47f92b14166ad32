import type { Kysely } from 'kysely';
import { createKysely, DatabasePool, type DatabaseOptions, type ReplicaOptions } from 'nestjs-pooling';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';
import { Client } from 'pg';

/** The tables of the tests. */
export interface Tables {
  entry: { id: number; n: number };
}

/** What a pool of the laboratory is made with. */
export interface LaboratoryPool {
  readonly pool: DatabasePool;
  readonly db: Kysely<Tables>;
  readonly replicas: Kysely<Tables>;
}

/** A primary and two replicas, whose replay is stopped and goes on by hand. */
export class ReplicaLaboratory implements AsyncDisposable {
  readonly cluster: PostgresCluster;
  readonly #pools: DatabasePool[] = [];

  private constructor(cluster: PostgresCluster) {
    this.cluster = cluster;
  }

  static async start(standbys = 2): Promise<ReplicaLaboratory> {
    const laboratory = new ReplicaLaboratory(await PostgresCluster.start({ standbys, authentication: 'trust' }));
    await laboratory.onPrimary('create table entry (id int primary key, n int not null)');
    await laboratory.cluster.caughtUp();
    return laboratory;
  }

  get primary(): ClusterNode {
    return this.cluster.primary;
  }

  get standbys(): readonly ClusterNode[] {
    return this.cluster.nodes.filter((node) => node !== this.cluster.primary);
  }

  /** A pool on all servers that reads from the standbys; `replicas: false`: it has none. */
  open(options: Omit<DatabaseOptions, 'replicas'> = {}, replicas: ReplicaOptions | false = {}): LaboratoryPool {
    return this.openAs('shop', options, replicas);
  }

  /** The same for a database of another name. */
  openAs(
    name: string,
    options: Omit<DatabaseOptions, 'replicas'> = {},
    replicas: ReplicaOptions | false = {},
  ): LaboratoryPool {
    const hosts = this.standbys.map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port }));
    const pool = new DatabasePool(name, {
      url: this.cluster.url,
      startup: 'lazy',
      size: 4,
      maxOverflow: 0,
      ...(replicas === false ? undefined : { replicas: { hosts, ...replicas } }),
      ...options,
    });
    this.#pools.push(pool);
    return { pool, db: createKysely<Tables>(pool), replicas: createKysely<Tables>(pool, { replicas: true }) };
  }

  /** Closes the pools of a test, lets every server answer, go on replaying, and forget what was written. */
  async reset(): Promise<void> {
    await Promise.all(this.#pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
    for (const { proxy } of this.cluster.nodes) await proxy.forward();
    await this.resume();
    await this.onPrimary('truncate entry');
    await this.cluster.caughtUp();
  }

  /** The standbys have what was replayed up to now, and get no further. */
  async pause(): Promise<void> {
    await this.cluster.caughtUp();
    for (const standby of this.standbys) {
      await ask(standby, 'select pg_wal_replay_pause()');
      await vi.waitFor(async () => {
        const [row] = await ask(standby, 'select pg_get_wal_replay_pause_state() as state');
        expect(row).toEqual({ state: 'paused' });
      }, 20_000);
    }
  }

  async resume(): Promise<void> {
    for (const standby of this.standbys) await ask(standby, 'select pg_wal_replay_resume()');
  }

  async onPrimary<Row extends object>(text: string): Promise<Row[]> {
    return await ask<Row>(this.primary, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
    await this.cluster.close();
  }
}

/** Runs a statement on a server, past every pool and proxy. */
export async function ask<Row extends object>({ server }: ClusterNode, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: server.url });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
