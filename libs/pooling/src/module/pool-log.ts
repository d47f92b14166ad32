import { Logger } from '@nestjs/common';
import type { LeakReport } from '../core/pool-options.js';
import type { DatabasePoolObserver } from '../database/database-pool.js';
import type { HttpLeakReport } from '../http/streamed-exchange.js';

/** Writes what a database pool reports to the application's logger. */
export class PoolLog implements DatabasePoolObserver {
  readonly #logger = new Logger('DatabasePool');
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  leaked(report: LeakReport): void {
    const { connection, heldMs, label, stack, collected } = report;
    const by = label === undefined ? '' : ` by ${label}`;
    const what = collected ? 'was dropped without being released' : 'has not been released';
    this.#logger.warn(
      `${this.#name}: connection ${connection}, acquired${by} ${seconds(heldMs)} ago, ${what}\n${stack ?? ''}`.trimEnd(),
    );
  }

  unleaked({ connection, heldMs }: LeakReport): void {
    this.#logger.log(`${this.#name}: connection ${connection} was released after all, after ${seconds(heldMs)}`);
  }
}

const httpLogger = new Logger('HttpClient');

/** Writes to the application's logger that a streamed answer holds a connection. */
export function logHttpLeak({ client, method, url, unreadMs, stack }: HttpLeakReport): void {
  const what = unreadMs === undefined ? 'was dropped unread' : `has not been read for ${seconds(unreadMs)}`;
  httpLogger.warn(`${client}: the streamed answer to ${method} ${url} ${what} and holds a connection\n${stack}`);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
