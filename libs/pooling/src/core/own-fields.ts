const NOTHING: object = {};

/**
 * An object whose readable fields are its own: the same one, or a copy where its prototype has fields to offer. What an
 * object inherits is nobody's option, least of all when something has written to `Object.prototype`.
 */
export function ownFields<T extends object>(value: T): T {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || (prototype === Object.prototype && !isPolluted())) return value;
  return Object.assign(Object.create(null), value) as T;
}

function isPolluted(): boolean {
  // oxlint-disable-next-line guard-for-in -- what it inherits is what is looked for
  for (const _name in NOTHING) return true;
  return false;
}
