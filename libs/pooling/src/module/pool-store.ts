import { Injectable } from '@nestjs/common';
import { PoolNotConfiguredError, PoolOptionsError } from '../core/errors.js';
import type { CloseReport } from '../core/pool-options.js';
import type { DatabasePool } from '../database/database-pool.js';
import type { HttpCloseReport } from '../http/pool/close.js';
import type { HttpClient } from '../http/http-client.js';
import { DEFAULT_NAME } from './tokens.js';

/** The kind of a named pool. */
export type PoolKind = 'database' | 'HTTP client';

/** A database of the application. */
export interface DatabaseEntry {
  readonly pool: DatabasePool;
  /** Whether the application gets its `Kysely` from this library: `false` when a test has replaced the token. */
  inUse: boolean;
}

/** How one pool or client ended. */
export type ClosedPool = { readonly name: string } & (
  | { readonly kind: 'database'; readonly report: CloseReport }
  | { readonly kind: 'HTTP client'; readonly report: HttpCloseReport }
);

/** Every pool and HTTP client of one application: who was registered, and how they start and end. */
@Injectable()
export class PoolStore {
  readonly #databases = new Map<string, DatabaseEntry>();
  readonly #httpClients = new Map<string, HttpClient>();
  readonly #declared = new Set<string>();
  readonly #absent = new Set<string>();
  #hasRoot = false;
  #draining = false;
  #closing: Promise<readonly ClosedPool[]> | undefined;

  /** Whether the application is shutting down. */
  get draining(): boolean {
    return this.#draining;
  }

  /** The databases, the default one first, then by name: Nest makes them in an order of its own. */
  get databases(): readonly DatabaseEntry[] {
    return inOrder(this.#databases);
  }

  /** The HTTP clients, in the same order. */
  get httpClients(): readonly HttpClient[] {
    return inOrder(this.#httpClients);
  }

  /** Refuses a second `forRoot`. */
  claimRoot(): void {
    if (this.#hasRoot) {
      const remedy = 'import it once, and add pools with forDatabase and forHttpClient';
      throw new PoolOptionsError(
        DEFAULT_NAME,
        `${DEFAULT_NAME}: PoolingModule.forRoot was imported twice in one application; ${remedy}`,
      );
    }
    this.#hasRoot = true;
  }

  /**
   * Takes a name. A declared pool that is never added is one whose token a test has replaced.
   *
   * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID` when the application has one of this name already.
   */
  declare(kind: PoolKind, name: string): void {
    const key = `${kind} ${name}`;
    if (this.#declared.has(key)) {
      const remedy =
        name === DEFAULT_NAME
          ? 'forRoot declares it; give its options there, or choose another name'
          : 'each name can be used once in an application';
      throw new PoolOptionsError(name, `${name}: a ${kind} of this name is registered already; ${remedy}`);
    }
    this.#declared.add(key);
  }

  /** Notes that the application chose not to have something that it declared. */
  addAbsent(kind: PoolKind, name: string): void {
    this.#absent.add(`${kind} ${name}`);
  }

  /** Takes over a database's pool: it is closed with the others, and counts as used after `use()`. */
  addDatabase(name: string, pool: DatabasePool): void {
    this.#databases.set(name, { pool, inUse: false });
  }

  /** Marks a database as used: the application gets its `Kysely` from this library. */
  use(name: string, pool: DatabasePool): void {
    const entry = this.#databases.get(name);
    if (entry?.pool === pool) entry.inUse = true;
  }

  /** Takes over an HTTP client. */
  addHttpClient(name: string, client: HttpClient): void {
    this.#httpClients.set(name, client);
  }

  /** Whether the application has something of this name, even if a test has replaced it. */
  isDeclared(kind: PoolKind, name: string): boolean {
    return this.#declared.has(`${kind} ${name}`);
  }

  /** Whether a test has replaced the token of something that was declared. */
  isReplaced(kind: PoolKind, name: string): boolean {
    const key = `${kind} ${name}`;
    const added = kind === 'database' ? this.#databases.has(name) : this.#httpClients.has(name);
    return this.#declared.has(key) && !this.#absent.has(key) && !added;
  }

  /**
   * A database's entry.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED`
   */
  database(name: string): DatabaseEntry {
    return this.#databases.get(name) ?? this.#unknown('database', name, [...this.#databases.keys()]);
  }

  /**
   * An HTTP client.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED`
   */
  httpClient(name: string): HttpClient {
    return this.#httpClients.get(name) ?? this.#unknown('HTTP client', name, [...this.#httpClients.keys()]);
  }

  #unknown(kind: PoolKind, name: string, known: readonly string[]): never {
    const others = known.length === 0 ? 'there is none' : `there is ${known.join(', ')}`;
    throw new PoolNotConfiguredError(name, `${name}: no ${kind} of this name is configured; ${others}`);
  }

  /** Starts the end of everything: it still serves. */
  beginDrain(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const { pool } of this.#databases.values()) pool.beginDrain();
    for (const client of this.#httpClients.values()) client.beginDrain();
  }

  /** Closes everything at the same time under one deadline, once. Never rejects. */
  closeAll(deadlineMs: number): Promise<readonly ClosedPool[]> {
    this.#draining = true;
    this.#closing ??= Promise.all([
      ...this.databases.map(async ({ pool }): Promise<ClosedPool> => {
        return { kind: 'database', name: pool.name, report: await pool.close({ deadlineMs }) };
      }),
      ...this.httpClients.map(async (client): Promise<ClosedPool> => {
        return { kind: 'HTTP client', name: client.name, report: await client.close({ deadlineMs }) };
      }),
    ]);
    return this.#closing;
  }
}

function inOrder<Value>(named: ReadonlyMap<string, Value>): Value[] {
  const rank = (name: string): string => (name === DEFAULT_NAME ? '' : name);
  return [...named].toSorted(([one], [other]) => (rank(one) < rank(other) ? -1 : 1)).map(([, value]) => value);
}
