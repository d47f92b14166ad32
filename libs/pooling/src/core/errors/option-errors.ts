import { PoolingError } from './pooling-error.js';

/**
 * One or more options are wrong; the message lists all of them.
 *
 * ```ts
 * try {
 *   new DatabasePool('orders', { size: 0 });
 * } catch (error) {
 *   if (error instanceof PoolOptionsError) console.error(error.message); // every wrong option, and what is allowed
 * }
 * ```
 */
export class PoolOptionsError extends PoolingError {
  override readonly code = 'ERR_POOL_OPTIONS_INVALID';
}

/**
 * Something was injected that was never configured.
 *
 * ```ts
 * function archiveOf(registry: PoolRegistry): DatabasePool | undefined {
 *   try {
 *     return registry.database('archive');
 *   } catch (error) {
 *     if (error instanceof PoolNotConfiguredError) return undefined;
 *     throw error;
 *   }
 * }
 * ```
 */
export class PoolNotConfiguredError extends PoolingError {
  override readonly code = 'ERR_POOL_NOT_CONFIGURED';
}
