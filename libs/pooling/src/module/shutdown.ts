import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { systemClock } from '../core/clock.js';
import { describeCause } from '../core/errors.js';
import { summariseHolders } from '../core/holders.js';
import { pause } from '../core/within.js';
import { HttpServerDrain } from './http-server-drain.js';
import type { ShutdownOptions } from './module-options.js';
import { PoolStore, type ClosedPool } from './pool-store.js';

const DEFAULTS: Required<ShutdownOptions> = { drainDelayMs: 0, timeoutMs: 10_000 };

/**
 * The one place that ends pools. It belongs to a global module, so Nest calls each of its hooks after those of every
 * other module: pools still serve while the application's own hooks run and until the HTTP server has answered its
 * last request.
 */
@Injectable()
export class PoolShutdown
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly #logger = new Logger('PoolingModule');
  #options = DEFAULTS;
  #drain: HttpServerDrain | undefined;
  #reported = false;

  constructor(
    private readonly store: PoolStore,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  /** The options in force. */
  get options(): Required<ShutdownOptions> {
    return this.#options;
  }

  /** Sets the options; what is left out keeps its default. */
  configure(options: ShutdownOptions | undefined): void {
    this.#options = {
      drainDelayMs: options?.drainDelayMs ?? DEFAULTS.drainDelayMs,
      timeoutMs: options?.timeoutMs ?? DEFAULTS.timeoutMs,
    };
  }

  /** Watches the HTTP server's connections, to know which are open when the end comes. */
  onApplicationBootstrap(): void {
    const server: unknown = this.adapterHost.httpAdapter?.getHttpServer?.();
    if (HttpServerDrain.canDrain(server)) this.#drain ??= new HttpServerDrain(server, systemClock);
  }

  /** Readiness fails from here on; everything still serves. */
  onModuleDestroy(): void {
    this.store.beginDrain();
  }

  /** Gives load balancers time to notice and clients time to leave, before Nest closes the HTTP server. */
  async beforeApplicationShutdown(): Promise<void> {
    const drain = this.#drain;
    if (drain?.listening !== true) return;
    const { drainDelayMs } = this.#options;
    if (drainDelayMs > 0) {
      this.#logger.log(`Draining: serving for another ${drainDelayMs} ms while readiness fails`);
      await pause(systemClock, drainDelayMs);
    }
    await drain.settle();
    drain.reapIdle();
  }

  /** Closes everything: the HTTP server has answered its last request. */
  async onApplicationShutdown(): Promise<void> {
    this.#drain?.stop();
    await this.closeAll();
  }

  /** Closes every pool and client under the one deadline, and logs how it went. Never rejects. */
  async closeAll(): Promise<void> {
    try {
      const closed = await this.store.closeAll(this.#options.timeoutMs);
      if (!this.#reported && closed.length > 0) this.#report(closed);
      this.#reported = true;
    } catch (error) {
      // Nest would swallow the error.
      this.#logger.error(`Closing the pools failed: ${describeCause(error)}`);
    }
  }

  #report(closed: readonly ClosedPool[]): void {
    const longestMs = Math.round(Math.max(...closed.map(({ report }) => report.durationMs)));
    const names = closed.map(({ kind, name }) => `${kind} ${name}`).join(', ');
    this.#logger.log(`Closed ${names} in ${longestMs} ms`);
    for (const each of closed) {
      if (each.report.graceful) continue;
      const count = each.report.destroyed.length;
      const what =
        count === 1 ? `1 connection of this ${each.kind} was` : `${count} connections of this ${each.kind} were`;
      this.#logger.warn(
        `${each.name}: ${what} still in use after ${this.#options.timeoutMs} ms and destroyed: ${describeDestroyed(each)}`,
      );
    }
  }
}

/** How many exchanges a message names. */
const NAMED_EXCHANGES = 3;

function describeDestroyed(closed: ClosedPool): string {
  if (closed.kind === 'database') return summariseHolders(closed.report.destroyed);
  return closed.report.destroyed
    .slice(0, NAMED_EXCHANGES)
    .map(({ method, origin, sinceMs }) => `${method} ${origin} for ${(sinceMs / 1_000).toFixed(1)} s`)
    .join('; ');
}
