import { inspect, type InspectOptions } from 'node:util';
import { showText } from '../shown-text.js';

/** Plain data that an error carries for loggers: JSON values only. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** What every error of the library has in common. */
export interface PoolingErrorOptions {
  /** The error behind it. */
  readonly cause?: unknown;
  /** Plain data for loggers. */
  readonly details?: ErrorDetails | undefined;
}

/**
 * The base class of every error that the library makes: a stable `code`, the `pool` it concerns,
 * the `cause`, and `details` in plain data.
 *
 * ```ts
 * try {
 *   await pool.query('select 1');
 * } catch (error) {
 *   if (error instanceof PoolingError) console.error(error.code, error.pool, error.details);
 *   throw error;
 * }
 * ```
 */
export abstract class PoolingError extends Error {
  /** The error's stable name, `ERR_…`. */
  abstract readonly code: string;
  /** The name of the pool or client. */
  readonly pool: string;
  /** Plain data for loggers; never a password, a parameter value or a row. */
  readonly details: ErrorDetails;

  constructor(pool: string, message: string, options: PoolingErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.pool = pool;
    this.details = Object.freeze({ ...options.details });
  }

  /** The name of the class. */
  override get name(): string {
    return this.constructor.name;
  }

  /** Plain data: what a structured logger writes. */
  toJSON(): Record<string, unknown> {
    return {
      name: this.name,
      code: this.code,
      pool: this.pool,
      message: this.message,
      details: this.details,
      cause: this.cause === undefined ? undefined : describeCause(this.cause),
    };
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    const own = `${this.stack ?? `${this.name}: ${this.message}`}\n  code: '${this.code}', pool: '${this.pool}'`;
    if (this.cause === undefined) return own;
    return `${own}\n  [cause]: ${showText(inspect(this.cause, { ...options, depth: 0 }).split('\n')[0] ?? '')}`;
  }
}

/** The short form of a cause: its code and message, never its fields; one line, bounded, without control characters. */
export function describeCause(cause: unknown): string {
  return showText(describe(cause));
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause === 'string' ? cause : inspect(cause, { depth: 0 });
  const code = (cause as { code?: unknown }).code;
  // Node's AggregateError, made when every address of a name refused, has no message of its own.
  const message =
    cause.message || (cause instanceof AggregateError ? cause.errors.map(describe).join('; ') : cause.name);
  return typeof code === 'string' && !message.includes(code) ? `${code}: ${message}` : message;
}
