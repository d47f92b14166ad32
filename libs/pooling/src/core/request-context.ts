import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * What goes along with a request from its handler to each query: one record for all of the library, so that it costs one
 * AsyncLocalStorage. A record never changes; whoever wants another begins one ({@link inRequest}).
 */
export interface RequestContext {
  /** On whose behalf code runs: `OrdersController.create`. */
  readonly handler: string | undefined;
  /** The ambient transaction; the database floor knows its kind. */
  readonly transaction: object | undefined;
  /** A transaction that is tried again; the database floor knows its kind. */
  readonly retried: object | undefined;
  /** What was written in it; the database floor knows its kind. */
  readonly writes: object | undefined;
  /** Who holds a test's one connection; the laboratory knows its kind. */
  readonly turn: object | undefined;
}

/** The context of what belongs to no request. */
const NO_REQUEST: RequestContext = {
  handler: undefined,
  transaction: undefined,
  retried: undefined,
  writes: undefined,
  turn: undefined,
};

/**
 * From this version on, Node carries a context along with a promise; before, it calls a hook for each promise of the
 * process, and a query through Kysely took half as much CPU time again (`npm run bench -- observability`).
 */
const FIRST_CHEAP_NODE = 24;

const CHEAP = Number.parseInt(process.versions.node, 10) >= FIRST_CHEAP_NODE;

let storage: AsyncLocalStorage<RequestContext> | undefined;

/** Keeps contexts from now on, whatever that costs: for what can't work without. */
export function keepRequests(): void {
  storage ??= new AsyncLocalStorage();
}

/** Keeps contexts from now on where it costs next to nothing: for what is nice to have. */
export function keepRequestsIfCheap(): void {
  if (CHEAP) keepRequests();
}

/** Whether contexts are kept. */
export function keepsRequests(): boolean {
  return storage !== undefined;
}

/** The context of what runs now; `undefined` where nobody keeps one, or where none was begun. */
export function presentRequest(): RequestContext | undefined {
  return storage === undefined ? undefined : storage.getStore();
}

/** Runs a function, and everything that it starts, in the present context with some of it changed. */
export function inRequest<Result>(change: Partial<RequestContext>, fn: () => Result): Result {
  if (storage === undefined) return fn();
  return storage.run({ ...(storage.getStore() ?? NO_REQUEST), ...change }, fn);
}

/** The handler on whose behalf code runs. */
export function presentHandler(): string | undefined {
  return storage?.getStore()?.handler;
}
