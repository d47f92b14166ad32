import { AsyncResource } from 'node:async_hooks';

/**
 * The async context of no request: sockets, timers and whatever else outlives the request that happened to begin it are
 * begun in it. Otherwise they would keep that request's stores for as long as they live, and what they call later would
 * find a stranger's.
 */
const nobody = new AsyncResource('nestjs-pooling');

/** Calls a function in the async context of no request. */
export function asNobody<Parameters extends unknown[], Result>(
  fn: (...parameters: Parameters) => Result,
  ...parameters: Parameters
): Result {
  return nobody.runInAsyncScope(fn, undefined, ...parameters);
}

/** The present async context, for what is called later on behalf of whoever runs now. Costs some 50 ns. */
export function presentContext(): AsyncResource {
  return new AsyncResource('nestjs-pooling');
}

/** A function that runs in the present async context, whoever calls it. */
export function inPresentContext<Parameters extends unknown[]>(
  fn: (...parameters: Parameters) => void,
): (...parameters: Parameters) => void {
  const context = presentContext();
  return (...parameters) => context.runInAsyncScope(fn, undefined, ...parameters);
}
