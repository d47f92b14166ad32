import type { Clock } from '../core/clock.js';
import { describeCause, PoolClosedError, PoolConnectError } from '../core/errors.js';
import type { Pool } from '../core/pool.js';
import type { ClientConfig } from 'pg';
import type { PostgresConnection } from './connection/connection.js';
import type { DatabaseLeases } from './database-leases.js';
import type { RoleOfServer } from './hosts/connection-role.js';
import { probeServer } from './connection/server-request.js';

/** A busy connection that answered this recently proves that the server lives, in milliseconds. */
const RECENT_MS = 2_000;

/** What a ping found: `up`, or `degraded` when the server answers but every connection is taken, or takes no writes. */
export interface PingResult {
  readonly status: 'up' | 'degraded';
  readonly durationMs: number;
}

/** What a ping needs of its pool. */
export interface PingHost {
  readonly name: string;
  readonly clock: Clock;
  readonly clientConfig: ClientConfig;
  readonly engine: Pool<PostgresConnection>;
  readonly leases: DatabaseLeases;
  readonly role: RoleOfServer<PostgresConnection>;
}

/**
 * Asks for a health probe whether the database answers, and never queues behind the application. It pings an idle
 * connection. When all are busy, a recent answer to one of them is enough. When there is none, it dials one at once,
 * without waiting for the back-off.
 */
export class DatabasePing {
  readonly #host: PingHost;
  readonly #dialWatchers = new Set<(error: unknown) => void>();
  #running: Promise<PingResult> | undefined;

  constructor(host: PingHost) {
    this.#host = host;
  }

  /** Pings, or joins the ping that is under way. */
  ping(timeoutMs: number): Promise<PingResult> {
    this.#running ??= this.#ping(timeoutMs).finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** A dial has ended: with a connection (`undefined`) or an error. */
  dialled(error: unknown): void {
    for (const watcher of this.#dialWatchers) watcher(error);
  }

  /** The pool closes: whoever waits for a dial hears of it at once, and no timer is left behind. */
  poolClosed(): void {
    const { name } = this.#host;
    this.dialled(new PoolClosedError(name, `${name}: the pool is closed`));
  }

  /** A connection is gone for good: its slot may be the one that a ping waits for. */
  slotFreed(): void {
    if (this.#dialWatchers.size === 0) return;
    // The engine may free the slot later in this turn.
    setImmediate(() => {
      if (this.#dialWatchers.size > 0) this.#host.engine.probe();
    });
  }

  async #ping(timeoutMs: number): Promise<PingResult> {
    const { clock, engine } = this.#host;
    const startedAt = clock.now();
    const left = (): number => Math.max(1, timeoutMs - (clock.now() - startedAt));
    const found = (status: PingResult['status']): PingResult => ({
      status: this.#host.role.readOnly ? 'degraded' : status,
      durationMs: clock.now() - startedAt,
    });
    while (engine.idle > 0 && engine.queued === 0 && clock.now() - startedAt < timeoutMs) {
      if (await this.#askIdle(left())) return found('up');
    }
    const verifiedAt = engine.report.lastVerifiedAt;
    const saturated = engine.open >= engine.max;
    if (verifiedAt !== undefined && clock.now() - verifiedAt <= RECENT_MS) return found(saturated ? 'degraded' : 'up');
    if (saturated) {
      await probeServer(this.#host.clientConfig, left(), clock).catch((error: unknown) => this.#fail(error));
      return found('degraded');
    }
    await this.#dial(left(), timeoutMs);
    return found('up');
  }

  /** `false` when the connection was dead: the server may be fine. */
  async #askIdle(timeoutMs: number): Promise<boolean> {
    const { leases, role } = this.#host;
    const idle = leases.tryAcquire('own');
    // Without one that can be had at once, the engine checks an idle one first, or replaces it in the same time.
    const lease =
      idle ?? (await leases.acquire({ timeoutMs, use: 'own' }).catch((error: unknown) => this.#fail(error)));
    const { connection } = lease;
    try {
      if (idle === undefined) return true;
      // On return, the server is asked for its role, and the connection may be closed.
      if (role.doubts(connection)) connection.role.toBeAsked = true;
      return await new Promise<boolean>((resolve, reject) => {
        connection.runner.execute(lease, '', undefined, timeoutMs, (error) => {
          if (error === undefined) resolve(true);
          else if (connection.closeReason === 'query-timeout') reject(error);
          else resolve(false);
        });
      });
    } finally {
      leases.giveBack(lease);
    }
  }

  /** @param leftMs what is left of `timeoutMs`. */
  #dial(leftMs: number, timeoutMs: number): Promise<void> {
    const { clock, engine } = this.#host;
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clock.clearTimeout(timer);
        this.#dialWatchers.delete(watcher);
      };
      const watcher = (error: unknown): void => {
        over();
        if (error === undefined) resolve();
        else reject(this.#failure(error));
      };
      const timer = clock.setTimeout(() => {
        over();
        reject(
          this.#failure(engine.report.connectError ?? new Error(`no connection within ${Math.round(timeoutMs)} ms`)),
        );
      }, leftMs);
      this.#dialWatchers.add(watcher);
      engine.probe();
    });
  }

  #fail(error: unknown): never {
    throw this.#failure(error);
  }

  #failure(error: unknown): PoolConnectError | PoolClosedError {
    if (error instanceof PoolClosedError) return error;
    const { name } = this.#host;
    return new PoolConnectError(name, `${name}: the database doesn’t answer: ${describeCause(error)}`, {
      cause: error,
    });
  }
}
