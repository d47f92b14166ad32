import { fileURLToPath, pathToFileURL } from 'node:url';
import type { AcquireOrigin } from './acquire-origin.js';

/** What a connection does now, as its connector sees it. Never parameter values or rows. */
export interface HolderActivity {
  /** The statement that runs now, or that ran last, shortened. */
  readonly statement?: string;
  /** Whether a statement runs now. */
  readonly active?: boolean;
  /** `true` when the connection is dead; what its borrower still waits for will fail. */
  readonly lost?: boolean;
  /** Whether a transaction is open. */
  readonly inTransaction?: boolean;
  /** How many statements its borrower has run, a `BEGIN` of its own included, where a transaction is open. */
  readonly statements?: number;
  /** The server's own name for the connection, such as PostgreSQL's process id. */
  readonly serverId?: number;
}

/** Who acquired, as far as it is known. */
export interface Acquirer {
  /** On whose behalf: a controller's handler, a queue's consumer, where that is known. */
  readonly label?: string;
  /** The code position that acquired, when leak detection is on: `OrdersService.create (orders.service.ts:42)`. */
  readonly acquiredAt?: string;
  /**
   * The transaction that it is held for, where that travels with its request: the method or the code position that began it.
   * `acquiredAt` and `stack` are those of its beginning then.
   */
  readonly transaction?: string;
  /** The whole stack of the acquire, when leak detection is on. */
  readonly stack?: string;
  /** The trace in which it was acquired, where there is a tracer that records it. */
  readonly traceId?: string;
}

/** Somebody who holds a connection. */
export interface Holder extends HolderActivity, Acquirer {
  /** Identifies the connection within its pool, for as long as it lives. */
  readonly connection: number;
  /** The replica that it goes to, `name:port`; left out where it goes to the database itself. */
  readonly replica?: string;
  /** For how long it is held, in milliseconds. */
  readonly heldMs: number;
  /** For how long nothing has run on it, in milliseconds; left out while something runs, or when that isn't known. */
  readonly idleMs?: number;
  /** Whether it was reported as a leak. */
  readonly leaked: boolean;
}

/**
 * Where this library's code is, as stacks may name it. Empty when it is bundled into one file with an
 * application, where its frames look like the application's.
 */
function libraryFolders(): readonly string[] {
  const own = /at libraryFolders \((.*[\\/])core[\\/]holders\.[jt]s(?:\?.*)?:\d+:\d+\)/.exec(
    new Error().stack ?? '',
  )?.[1];
  if (own === undefined) return [];
  return own.startsWith('file:') ? [own, fileURLToPath(own)] : [own, pathToFileURL(own).href];
}

const LIBRARY_FOLDERS = libraryFolders();

/** Whether a line of a stack points into this library; its specs stand beside it and count as foreign. */
function isOwnFrame(line: string): boolean {
  return LIBRARY_FOLDERS.some((folder) => line.includes(folder)) && !line.includes('.spec.');
}

/**
 * The first position in a stack that is in the application's own code, or in a dependency when the application doesn't
 * appear: `OrdersService.create (orders.service.ts:42)`. `undefined` when there is neither.
 */
export function firstForeignFrame(stack: string | undefined): string | undefined {
  const frame = foreignFrames(stack)[0];
  return frame === undefined ? undefined : shortFrame(frame);
}

/** The lines of a stack that are in the application's own code, or in dependencies when it doesn't appear. */
export function foreignFrames(stack: string | undefined): string[] {
  const frames = (stack ?? '')
    .split('\n')
    .filter((line) => /^\s*at .*:\d+\)?$/.test(line) && !line.includes('node:') && !isOwnFrame(line));
  const own = frames.filter((line) => !line.includes('/node_modules/'));
  return own.length > 0 ? own : frames;
}

/**
 * On whose behalf a stack runs: the application's outermost function in it that has a name, which Nest called. V8 keeps
 * async callers, so the handler is in the stack after an `await` as well. A function that returned a promise without
 * awaiting it isn't.
 */
function handlerIn(stack: string | undefined): string | undefined {
  const names = foreignFrames(stack)
    .filter((line) => !line.includes('/node_modules/'))
    .map((line) => /^(.*) \(/.exec(shortFrame(line))?.[1]);
  return names.findLast((name) => name !== undefined && !name.includes('<anonymous>'));
}

/** Formats a captured stack; called only when it is shown. */
export function acquirerOf(origin: AcquireOrigin | undefined): Acquirer {
  const stack = origin?.trace?.stack;
  const label = origin?.label ?? handlerIn(stack);
  const acquiredAt = firstForeignFrame(stack);
  const transaction = origin?.transaction?.begunBy;
  const traceId = origin?.span?.traceId;
  return {
    ...(label === undefined ? undefined : { label }),
    ...(acquiredAt === undefined ? undefined : { acquiredAt }),
    ...(transaction === undefined ? undefined : { transaction }),
    ...(stack === undefined ? undefined : { stack }),
    ...(traceId === undefined ? undefined : { traceId }),
  };
}

/** The label and the code position of an acquire, as far as they were kept. */
export function originOf({ origin }: { readonly origin: AcquireOrigin | undefined }): {
  label?: string;
  acquiredAt?: string;
  transaction?: string;
  traceId?: string;
} {
  const { stack: _stack, ...acquirer } = acquirerOf(origin);
  return acquirer;
}

/** A line of a stack with the name of its file instead of the whole path. */
function shortFrame(line: string): string {
  const frame = line.trim().replace(/^at (?:async )?/, '');
  const from = frame.indexOf(' (');
  const file = (from < 0 ? frame : frame.slice(from + 2)).replace(/^.*[\\/]/, '').replace(/:\d+\)?$/, '');
  const name = from < 0 ? '' : frame.slice(0, from);
  return name === '' || name === '<anonymous>' ? file : `${name} (${file})`;
}

/**
 * Who acquired, in one phrase: the handler, the position in the code and the transaction, or whichever of them is known.
 * `OrdersController.create (orders.controller.ts:42)`, `OrdersController.create, in OrdersService.place (orders.service.ts:7)`,
 * `OrdersController.create, in the transaction of OrdersService.place`.
 */
export function nameAcquirer({ label, acquiredAt, transaction }: Acquirer): string | undefined {
  const who = nameCaller(label, acquiredAt);
  if (transaction === undefined || who?.includes(transaction) === true) return who;
  return who === undefined ? `the transaction of ${transaction}` : `${who}, in the transaction of ${transaction}`;
}

function nameCaller(label: string | undefined, acquiredAt: string | undefined): string | undefined {
  if (label === undefined || acquiredAt === undefined) return label ?? acquiredAt;
  return acquiredAt.startsWith(`${label} (`) ? acquiredAt : `${label}, in ${acquiredAt}`;
}

/** How many holders a message names. */
const NAMED_HOLDERS = 3;

/** One line about the longest holders: `34.1 s by OrdersController.create (orders.controller.ts:42), idle in transaction`. */
export function summariseHolders(holders: readonly Holder[]): string {
  const longest = holders.toSorted((one, other) => other.heldMs - one.heldMs).slice(0, NAMED_HOLDERS);
  return longest.map(summariseHolder).join('; ');
}

/** `idle in transaction after 3 statements`. */
function whereIn({ active, statements }: Holder): string {
  if (active === true) return 'in transaction';
  if (statements === undefined) return 'idle in transaction';
  return `idle in transaction after ${statements} statement${statements === 1 ? '' : 's'}`;
}

function summariseHolder(holder: Holder): string {
  let text = `${(holder.heldMs / 1000).toFixed(1)} s`;
  const acquirer = nameAcquirer(holder);
  if (acquirer !== undefined) text += ` by ${acquirer}`;
  if (holder.replica !== undefined) text += `, on replica ${holder.replica}`;
  if (holder.lost === true) text += ', whose connection is lost';
  else if (holder.inTransaction === true) text += `, ${whereIn(holder)}`;
  if (holder.statement !== undefined)
    text += `, ${holder.active === true ? 'running' : 'last ran'}: ${holder.statement}`;
  return text;
}
