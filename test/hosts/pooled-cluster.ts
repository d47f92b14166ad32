import { DatabasePool, type DatabaseOptions } from 'nestjs-pooling';
import { PostgresCluster, TcpProxy, type ClusterNode } from 'nestjs-pooling/testing';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import { findPgBouncer, preparesByItself, PgBouncer, versionOf } from '#test/pgbouncer/pgbouncer.js';
import { PreparingPooler } from '#test/pgbouncer/preparing-pooler.js';

/** A pooler before one server. */
export interface Pooler extends AsyncDisposable {
  readonly url: string;
  /** Replaces its connections to the server when they are next free. */
  reconnect(): void | Promise<unknown>;
}

/** A kind of pooler. */
export interface PoolerKind {
  readonly name: string;
  start(url: string): Promise<Pooler>;
}

/** Connections of one pooler to its server. */
const SERVER_CONNECTIONS = 4;

const OWN: PoolerKind = {
  name: 'a small pooler of the tests’ own',
  start: (url) => PreparingPooler.start(url, SERVER_CONNECTIONS),
};

/** The kinds of poolers that are there: the tests' own one everywhere. */
export function poolerKinds(): readonly PoolerKind[] {
  const found = findPgBouncer();
  if (found === undefined || !preparesByItself(versionOf(found))) {
    process.stderr.write('\nNOT TESTED: no PgBouncer from 1.21 on is installed: hosts behind PgBouncer\n');
    return [OWN];
  }
  const start = async (url: string): Promise<Pooler> => {
    const bouncer = await PgBouncer.start(found, url, SERVER_CONNECTIONS);
    return {
      url: bouncer.url,
      reconnect: () => bouncer.command('RECONNECT'),
      [Symbol.asyncDispose]: () => bouncer[Symbol.asyncDispose](),
    };
  };
  return [OWN, { name: `PgBouncer ${versionOf(found)}`, start }];
}

/** A primary and standbys, with a pooler of its own before each, and a proxy before that. */
export class PooledCluster implements AsyncDisposable {
  readonly cluster: PostgresCluster;
  readonly poolers: readonly Pooler[];
  /** What the pools of {@link open} dial. */
  readonly proxies: readonly TcpProxy[];
  readonly #pools: DatabasePool[] = [];

  private constructor(cluster: PostgresCluster, poolers: readonly Pooler[], proxies: readonly TcpProxy[]) {
    this.cluster = cluster;
    this.poolers = poolers;
    this.proxies = proxies;
  }

  static async start({ start }: PoolerKind, standbys = 1): Promise<PooledCluster> {
    const cluster = await PostgresCluster.start({ standbys, authentication: 'trust' });
    try {
      const poolers = await Promise.all(cluster.nodes.map((node) => start(node.urlOf())));
      const ports = poolers.map(({ url }) => Number(new URL(url).port));
      return new PooledCluster(cluster, poolers, await Promise.all(ports.map((port) => TcpProxy.listen({ port }))));
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  get nodes(): [ClusterNode, ClusterNode, ...ClusterNode[]] {
    return this.cluster.nodes as [ClusterNode, ClusterNode, ...ClusterNode[]];
  }

  /** The poolers as hosts, in the order of their servers. */
  get hosts(): { readonly host: string; readonly port: number }[] {
    return this.proxies.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** The address of a host, as errors and statistics name it. */
  nameOf(at: number): string {
    return `127.0.0.1:${this.hosts[at]?.port}`;
  }

  /** Has each pooler connect to its server, so that it knows what it is now. */
  async welcome(): Promise<void> {
    for (const { url } of this.poolers) {
      await using pool = new DatabasePool('welcome', { url, size: 1 });
      await pool.query('select 1');
    }
  }

  /** A pool on all hosts, which are poolers. */
  open(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
    const pool = new DatabasePool(
      'shop',
      {
        url: 'postgres://postgres@/postgres',
        hosts: this.hosts,
        startup: 'lazy',
        size: 4,
        maxOverflow: 0,
        statementTimeoutMs: 0,
        ...options,
      },
      dependencies,
    );
    this.#pools.push(pool);
    return pool;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close({ deadlineMs: 100 })));
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
    await Promise.all(this.poolers.map((pooler) => pooler[Symbol.asyncDispose]()));
    await this.cluster.close();
  }
}

/** The port of the server that answers. */
export async function portOf(pool: DatabasePool): Promise<number> {
  const { rows } = await pool.query<{ port: number }>('select inet_server_port() as port');
  return rows[0]?.port as number;
}

/** Fills a pool with idle connections. */
export async function fill(pool: DatabasePool, size = 4): Promise<void> {
  const clients = await Promise.all(Array.from({ length: size }, () => pool.connect()));
  for (const client of clients) client.release();
}
