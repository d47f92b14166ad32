import type { Socket } from 'node:net';
import { Client } from 'pg';
import { systemClock } from '../core/clock.js';
import { becomes } from './delay.js';

const CONTROL_APPLICATION = 'nestjs-pooling control';
const CONTROL_TIMEOUT_MS = 5_000;
const HANG_UP_TIMEOUT_MS = 1_000;

/** One client's connection as the server sees it (`pg_stat_activity`). */
export interface Backend {
  readonly pid: number;
  readonly user: string;
  readonly database: string;
  readonly applicationName: string;
  /** `active`, `idle`, `idle in transaction`, … */
  readonly state: string | null;
  /** The running, or else the last, statement. */
  readonly query: string;
  /** The client's port, which identifies its connection. */
  readonly clientPort: number;
  readonly startedAt: Date;
}

/** Runs `action` on a connection of its own, which no list of connections shows. */
export async function withControl<Result>(
  url: string,
  action: (client: Client) => Promise<Result>,
  timeoutMs = CONTROL_TIMEOUT_MS,
): Promise<Result> {
  const client = new Client({
    connectionString: url,
    application_name: CONTROL_APPLICATION,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await action(client);
  } finally {
    await hangUp(client);
  }
}

/** Ends the chosen connections and waits until the server has forgotten them. */
export async function terminateBackends(client: Client, filter: (backend: Backend) => boolean): Promise<number> {
  const chosen = (await listBackends(client)).filter(filter).map((backend) => backend.pid);
  const { rows } = await client.query<{ ended: boolean }>(
    'SELECT pg_terminate_backend(pid) AS ended FROM unnest($1::int[]) AS pid',
    [chosen],
  );
  const areGone = async (): Promise<boolean> =>
    !(await listBackends(client)).some((backend) => chosen.includes(backend.pid));
  await becomes(areGone, CONTROL_TIMEOUT_MS);
  return rows.filter((row) => row.ended).length;
}

/** The connections of clients, without those that {@link withControl} makes. */
export async function listBackends(client: Client): Promise<Backend[]> {
  const { rows } = await client.query<Backend>(
    `SELECT pid, usename AS "user", datname AS "database", application_name AS "applicationName", state, query,
            client_port AS "clientPort", backend_start AS "startedAt"
       FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND application_name <> $1
      ORDER BY backend_start, pid`,
    [CONTROL_APPLICATION],
  );
  return rows;
}

/** Ends a connection. A frozen server never answers that: after a second the socket is destroyed. */
async function hangUp(client: Client): Promise<void> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  const timer = systemClock.setBackgroundTimeout(() => stream.destroy(), HANG_UP_TIMEOUT_MS);
  await client.end().catch(() => undefined);
  systemClock.clearTimeout(timer);
}
