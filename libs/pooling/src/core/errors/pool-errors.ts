import { PoolingError } from './pooling-error.js';

/**
 * No connection within the acquire's deadline. The message holds the state of the pool, its longest holders and the last failed dial.
 *
 * ```ts
 * try {
 *   await db.selectFrom('orders').selectAll().execute();
 * } catch (error) {
 *   if (error instanceof PoolAcquireTimeoutError) throw new ServiceUnavailableException();
 *   throw error;
 * }
 * ```
 */
export class PoolAcquireTimeoutError extends PoolingError {
  override readonly code = 'ERR_POOL_ACQUIRE_TIMEOUT';
}

/**
 * As many callers wait already as `maxWaiting` allows.
 *
 * ```ts
 * const isOverload = (error: unknown): boolean =>
 *   error instanceof PoolQueueFullError || error instanceof PoolAcquireTimeoutError;
 * ```
 */
export class PoolQueueFullError extends PoolingError {
  override readonly code = 'ERR_POOL_QUEUE_FULL';
}

/**
 * The pool is closing or closed.
 *
 * ```ts
 * await pool.close();
 * await pool.query('select 1').catch((error: unknown) => {
 *   if (!(error instanceof PoolClosedError)) throw error; // the application is shutting down
 * });
 * ```
 */
export class PoolClosedError extends PoolingError {
  override readonly code = 'ERR_POOL_CLOSED';
}

/**
 * The pool was suspended and not resumed before the acquire's deadline.
 *
 * ```ts
 * pool.suspend();
 * try {
 *   await pool.connect({ timeoutMs: 100 });
 * } catch (error) {
 *   if (!(error instanceof PoolSuspendedError)) throw error;
 * }
 * pool.resume();
 * ```
 */
export class PoolSuspendedError extends PoolingError {
  override readonly code = 'ERR_POOL_SUSPENDED';
}

/**
 * A connection could not be opened; the real error is the `cause`.
 *
 * ```ts
 * try {
 *   await pool.query('select 1');
 * } catch (error) {
 *   if (error instanceof PoolConnectError) console.error('the database cannot be reached', error.cause);
 *   throw error;
 * }
 * ```
 */
export class PoolConnectError extends PoolingError {
  override readonly code = 'ERR_POOL_CONNECT_FAILED';
}

/**
 * A connection was used or released after it had been given back.
 *
 * ```ts
 * const client = await pool.connect();
 * client.release();
 * await client.query('select 1').catch((error: unknown) => {
 *   console.error(error instanceof PoolLeaseReleasedError); // true: somebody else may have the connection now
 * });
 * ```
 */
export class PoolLeaseReleasedError extends PoolingError {
  override readonly code = 'ERR_POOL_LEASE_RELEASED';
}
