import type { Client } from 'pg';
import { becomes } from './delay.js';
import { withControl } from './postgres-control.js';
import type { DataPlace } from './postgres-data.js';
import type { PostgresServer } from './postgres-server.js';
import type { TcpProxy } from './tcp-proxy.js';

const FOLLOW_TIMEOUT_MS = 30_000;

/** The present role of a server in a cluster. `stopped`: it doesn't run. `frozen`: its processes are paused (`server.pause()`). */
export type ClusterRole = 'primary' | 'standby' | 'stopped' | 'frozen';

/**
 * One server of a {@link PostgresCluster}, and the proxy that clients reach it through.
 *
 * ```ts
 * async function letLagBehind(node: ClusterNode): Promise<void> {
 *   await node.delayReplay(5_000); // it shows what was written 5 s ago
 *   node.proxy.delay(100); // and answers late
 * }
 * ```
 */
export class ClusterNode {
  /** `db1`, `db2`, …, in the order of {@link PostgresCluster.nodes}; also its `application_name` as a standby. */
  readonly name: string;
  /** The server itself, past its proxy. */
  readonly server: PostgresServer;
  /** What clients connect to: it refuses, delays, cuts and swallows. */
  readonly proxy: TcpProxy;
  /** @internal */
  readonly place: DataPlace;

  /** @internal */
  constructor(name: string, server: PostgresServer, proxy: TcpProxy, place: DataPlace) {
    this.name = name;
    this.server = server;
    this.proxy = proxy;
    this.place = place;
  }

  /** The address of a database on this server alone, through its proxy. */
  urlOf(database = 'postgres'): string {
    const url = new URL(this.server.urlOf(database));
    url.port = String(this.proxy.port);
    return url.href;
  }

  /** Its present role, as it reports it. */
  async role(): Promise<ClusterRole> {
    if (!this.server.running) return 'stopped';
    if (this.server.paused) return 'frozen';
    const { rows } = await this.ask<{ standby: boolean }>('select pg_is_in_recovery() as standby');
    return rows[0]?.standby === true ? 'standby' : 'primary';
  }

  /** Ends it as a crash does: no client is told, and the next start recovers. `rejoin` or `server.start()` brings it back. */
  async kill(): Promise<void> {
    await this.server.stop('immediate');
  }

  /** Makes a standby replay commits this much later (`recovery_min_apply_delay`), in milliseconds; 0: as soon as it can. */
  async delayReplay(delayMs: number): Promise<void> {
    await this.set('recovery_min_apply_delay', `${delayMs}ms`);
  }

  /**
   * Sets whether new transactions may write (`default_transaction_read_only`), also in open sessions. Managed services do that
   * to a server whose disk is full, or that was demoted.
   */
  async allowWrites(allowed: boolean): Promise<void> {
    await this.set('default_transaction_read_only', allowed ? 'off' : 'on');
  }

  /** Ends a standby's connection to its primary. It makes no new one until it follows a primary again. */
  async cutOff(): Promise<void> {
    await this.set('primary_conninfo', '');
    await this.#streamsFrom(0);
  }

  /** Makes a standby follow a primary with which it shares its history. */
  async follow(primary: ClusterNode): Promise<void> {
    await this.set('primary_conninfo', conninfo(this.name, primary.server));
    await this.follows(primary);
  }

  /** @internal Waits until it streams from a primary. */
  async follows(primary: ClusterNode): Promise<void> {
    await this.#streamsFrom(primary.server.port);
  }

  /** @internal How far it has received its primary's log, in bytes; 0 when it has received nothing since its start. */
  async received(): Promise<number> {
    const { rows } = await this.ask<{ bytes: string }>(
      "select coalesce(pg_last_wal_receive_lsn() - '0/0', 0)::text as bytes",
    );
    return Number(rows[0]?.bytes);
  }

  /** @internal Runs one statement on the server, past the proxy. */
  ask<Row extends object>(text: string, values: unknown[] = []): Promise<{ rows: Row[] }> {
    return withControl(this.server.url, (client: Client) => client.query<Row>(text, values));
  }

  /** Changes a setting of the running server, and waits until it is in force for its sessions. */
  async set(name: string, value: string): Promise<void> {
    await withControl(this.server.url, async (client) => {
      const generation = async (): Promise<string> => {
        const { rows } = await client.query<{ at: string }>('select pg_conf_load_time()::text as at');
        return (rows[0] as { at: string }).at;
      };
      const before = await generation();
      await client.query(`alter system set ${client.escapeIdentifier(name)} = ${client.escapeLiteral(value)}`);
      await client.query('select pg_reload_conf()');
      await must(async () => (await generation()) !== before, `${this.name} didn't read its settings again`);
    });
  }

  /** @param port the primary's; 0: from none. */
  async #streamsFrom(port: number): Promise<void> {
    await must(
      async () => {
        const { rows } = await this.ask<{ port: number; status: string }>(
          'select sender_port as port, status from pg_stat_wal_receiver',
        );
        const [receiver] = rows;
        return port === 0 ? receiver === undefined : receiver?.port === port && receiver.status === 'streaming';
      },
      `${this.name} ${port === 0 ? "didn't cease to follow" : "didn't begin to follow"} its primary`,
    );
  }
}

/** How the standby of a name reaches its primary. */
export function conninfo(name: string, primary: PostgresServer): string {
  const { hostname, port, username, password } = new URL(primary.url);
  const escaped = decodeURIComponent(password).replace(/['\\]/g, String.raw`\$&`);
  const secret = password === '' ? '' : ` password='${escaped}'`;
  return `host=${hostname} port=${port} user=${username}${secret} application_name=${name}`;
}

/** @internal Waits for a condition; rejects when it takes too long. */
export async function must(condition: () => Promise<boolean>, otherwise: string): Promise<void> {
  if (!(await becomes(condition, FOLLOW_TIMEOUT_MS, 20))) {
    throw new Error(`PostgresCluster: ${otherwise} within ${FOLLOW_TIMEOUT_MS} ms`);
  }
}
