import { PoolNotConfiguredError } from '../core/errors.js';

/**
 * Properties that Nest and others read of any provider: reading them must not throw, and gives `undefined` (with a `then` it
 * would be taken for a promise, and a hook would be called).
 */
const INSPECTED: ReadonlySet<string> = new Set([
  'then',
  'catch',
  'finally',
  'toJSON',
  'asymmetricMatch',
  '$$typeof',
  'nodeType',
  'onModuleInit',
  'onApplicationBootstrap',
  'onModuleDestroy',
  'beforeApplicationShutdown',
  'onApplicationShutdown',
]);

/**
 * Stands in for something that isn't configured: it can be injected, and its first use throws.
 *
 * @param remedy what to set, for the message
 */
export function notConfigured<T extends object>(name: string, what: string, remedy: string): T {
  return new Proxy({} as T, {
    get(target, property) {
      if (typeof property === 'symbol' || INSPECTED.has(property) || property in target) {
        return Reflect.get(target, property) as unknown;
      }
      throw new PoolNotConfiguredError(name, `${name}: ${what} was used and is not configured; ${remedy}`);
    },
    set() {
      throw new PoolNotConfiguredError(name, `${name}: ${what} is not configured; ${remedy}`);
    },
  });
}
