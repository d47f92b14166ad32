import { ownFields } from '../../core/own-fields.js';
import { isPlainObject } from '../../core/validation.js';
import { NO_INIT } from './request-builder.js';
import type { HttpRequestInit } from './request.js';

/** A token of RFC 9110, 5.6.2. */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** One request with its method. */
export interface HttpRequestInitWithMethod extends HttpRequestInit {
  /** `GET` unless given. */
  readonly method?: string | undefined;
}

/**
 * A request's options without what they inherit.
 *
 * @throws TypeError when they aren't an object, or `signal` isn't one
 */
export function readInit(init: HttpRequestInitWithMethod): HttpRequestInitWithMethod {
  if (init === NO_INIT) return init;
  if (!isPlainObject(init)) throw new TypeError('init: not an object');
  const own = ownFields(init as HttpRequestInitWithMethod);
  const { signal } = own;
  if (signal !== undefined && signal !== null && !isSignal(signal)) throw new TypeError('signal: not an AbortSignal');
  return own;
}

/** @throws TypeError when it can't be a method */
export function readMethod(method: string | undefined): string {
  if (method === undefined) return 'GET';
  if (typeof method !== 'string' || !METHOD.test(method)) throw new TypeError('method: not the name of a method');
  return method.toUpperCase();
}

/** Whichever realm or library it comes from. */
function isSignal(signal: AbortSignal): boolean {
  return typeof signal.aborted === 'boolean' && typeof signal.addEventListener === 'function';
}
