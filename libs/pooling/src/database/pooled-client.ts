import type { AsyncResource } from 'node:async_hooks';
import type { Client, ClientBase, PoolClient, Submittable } from 'pg';
import { inPresentContext, presentContext } from '../core/async-context.js';
import { PoolLeaseReleasedError, PoolTransactionError } from '../core/errors.js';
import type { CloseReason } from '../core/statistics.js';
import type { PostgresConnection } from './connection/connection.js';
import type { DatabaseLease } from './database-lease.js';
import { pg } from './pg.js';
import {
  callbackOf,
  isSubmittable,
  promiseOf,
  textOf,
  valuesOf,
  type QueryOutcome,
  type QueryText,
} from './query/query-forms.js';
import { noting, type WriteNote } from './query/write-notes.js';
import { shortenStatement } from './query/shown-statement.js';
import { HeldStatements, mayEndTransaction } from './connection/transaction-end.js';
import { asPgResult } from './wire/pg-result.js';

/** What pg calls on a query object besides what its type tells. */
interface AnsweringSubmittable extends Submittable {
  callback?: QueryOutcome;
  handleError?(error: Error, connection: unknown): void;
}

/** What a borrower's client needs of its pool. */
export interface PooledClientHost {
  readonly name: string;
  readonly queryTimeoutMs: number;
  /** Gives the lease back. */
  release(lease: DatabaseLease, error: Error | boolean | undefined): void;
  /** The note that is taken of what it writes; `undefined`: nobody wants to know. */
  note(lease: DatabaseLease): WriteNote | undefined;
}

/**
 * What `connect()` gives: an object that looks like a `pg.Client`, for one lease. After the lease it refuses every call
 * and its listeners hear nothing more, so that a borrower can't reach into the session of the next one.
 */
class PooledClientFacade {
  readonly #host: PooledClientHost;
  readonly #lease: DatabaseLease;
  readonly #connection: PostgresConnection;
  /** The context in which its listeners run: events come from a socket that belongs to no request. */
  #context: AsyncResource | undefined = undefined;
  /** What was asked for after `COMMIT` or `ROLLBACK` was sent, until that is answered. */
  #held: HeldStatements | undefined = undefined;

  constructor(host: PooledClientHost, lease: DatabaseLease) {
    this.#host = host;
    this.#lease = lease;
    this.#connection = lease.connection;
    const added = this.#connection.added?.names;
    if (added !== undefined && added.length > 0) this.#mirror(added);
  }

  /** Mirrors the properties that hooks have put on the connection's client: reads and writes go to that one. */
  #mirror(names: readonly PropertyKey[]): void {
    for (const name of names) {
      if (name in this) continue;
      Object.defineProperty(this, name, {
        configurable: true,
        enumerable: true,
        get: () => Reflect.get(this.#borrowed(), name) as unknown,
        set: (value) => {
          Reflect.set(this.#borrowed(), name, value);
        },
      });
    }
  }

  /**
   * Gives the connection back. With an error, or `true`, it is destroyed. It needs no `this`, as in pg-pool.
   *
   * @throws `ERR_POOL_LEASE_RELEASED` when it was given back before.
   */
  readonly release = (error?: Error | boolean): void => {
    if (this.#lease.released) throw this.#leaseOver('released');
    this.#host.release(this.#lease, error);
  };

  #leaseOver(action: 'used' | 'released', text?: string): PoolLeaseReleasedError {
    const { name } = this.#host;
    return new PoolLeaseReleasedError(
      name,
      `${name}: the connection was ${action} after it had been given back to the pool`,
      text === undefined ? {} : { details: { statement: text.slice(0, 200) } },
    );
  }

  /** Runs a query in any of the forms of `pg.Client.query`, within `queryTimeoutMs`. */
  query(config: QueryText | Submittable, values?: readonly unknown[] | QueryOutcome, callback?: QueryOutcome): unknown {
    if (config === null || config === undefined) {
      throw new TypeError('Client was passed a null or undefined query');
    }
    if (isSubmittable(config)) return this.#submit(config, values, callback);
    const given = callbackOf(config, values, callback);
    if (given === undefined) return promiseOf((outcome) => this.#execute(config, values, outcome)).then(asPgResult);
    const answered: QueryOutcome = (error, answer) => given(error, error === undefined ? asPgResult(answer) : answer);
    this.#execute(config, values, inPresentContext(answered));
    return undefined;
  }

  #execute(config: QueryText, values: readonly unknown[] | QueryOutcome | undefined, callback: QueryOutcome): void {
    if (this.#lease.released) {
      const error = this.#leaseOver('used', textOf(config));
      process.nextTick(() => callback(error, undefined as never));
      return;
    }
    if (this.#held !== undefined) {
      return this.#held.add({
        run: () => this.#execute(config, values, callback),
        refuse: () => callback(this.#transactionOver(textOf(config)), undefined as never),
      });
    }
    const ends = this.#connection.inTransaction && mayEndTransaction(config);
    const heard = ends ? this.#holdingUntil(callback) : callback;
    const note = this.#host.note(this.#lease);
    const outcome = note === undefined ? heard : noting(note, heard);
    const timeoutMs = (typeof config === 'object' && config.query_timeout) || this.#host.queryTimeoutMs;
    this.#connection.runner.execute(this.#lease, config, valuesOf(values), timeoutMs, outcome);
  }

  /** Holds back what is asked for from now on until the end of the transaction is answered. */
  #holdingUntil(callback: QueryOutcome): QueryOutcome {
    const held = new HeldStatements();
    this.#held = held;
    const settle = (): void => {
      this.#held = undefined;
      held.settle(() => this.#lease.released);
    };
    return (error, result, untouched) => {
      if (held.none) this.#held = undefined;
      // After the code that awaits the answer: it may give the client back.
      else setImmediate(settle);
      callback(error, result, untouched);
    };
  }

  #transactionOver(text: string): PoolTransactionError {
    const { name } = this.#host;
    return new PoolTransactionError(
      name,
      `${name}: the statement was not sent: it was asked for after COMMIT or ROLLBACK, and the client was given back`,
      { details: { statement: shortenStatement(text) } },
    );
  }

  #submit(
    submittable: AnsweringSubmittable,
    values: readonly unknown[] | QueryOutcome | undefined,
    callback: QueryOutcome | undefined,
  ): Submittable {
    const given = typeof values === 'function' ? values : callback;
    const heard = submittable.callback ?? given;
    if (typeof heard === 'function') submittable.callback = inPresentContext(heard);
    if (this.#lease.released) {
      const error = this.#leaseOver('used', textOf(submittable));
      if (submittable.handleError === undefined) throw error;
      process.nextTick(() => submittable.handleError?.(error, this.#connection.client.connection));
      return submittable;
    }
    this.#host.note(this.#lease);
    if (this.#held !== undefined) {
      this.#held.add({
        run: () => void this.#connection.runner.submit(this.#lease, submittable),
        refuse: () =>
          submittable.handleError?.(this.#transactionOver(textOf(submittable)), this.#connection.client.connection),
      });
      return submittable;
    }
    return this.#connection.runner.submit(this.#lease, submittable);
  }

  /** Fails as on a connected `pg.Client`. */
  connect(callback?: (error: Error) => void): Promise<never> | void {
    const error = new Error('Client has already been connected. You cannot reuse a client.');
    if (callback === undefined) return Promise.reject(error);
    process.nextTick(() => callback(error));
  }

  /** Closes the connection; `release()` is still due. */
  end(callback?: (error?: Error) => void): Promise<void> | void {
    if (this.#lease.released) {
      const error = this.#leaseOver('used');
      if (callback === undefined) return Promise.reject(error);
      process.nextTick(() => callback(error));
      return;
    }
    this.#connection.closeReason ??= 'broken' satisfies CloseReason;
    const ended = this.#connection.close(true);
    if (callback === undefined) return ended;
    void ended.then(() => callback());
  }

  /** The transaction status that the server sent last. It is there with any pg; pg's own clients have it from 8.21 on. */
  getTransactionStatus(): ReturnType<ClientBase['getTransactionStatus']> {
    if (this.#lease.released) throw this.#leaseOver('used');
    return this.#connection.transactionStatus;
  }

  /** Sets a type parser for this lease. */
  setTypeParser(...parameters: Parameters<Client['setTypeParser']>): void {
    const client = this.#borrowed();
    this.#connection.session.lendTypeParsers();
    client.setTypeParser(...parameters);
  }

  getTypeParser(oid: number, format?: 'text' | 'binary'): unknown {
    return this.#borrowed().getTypeParser(oid, format as 'text');
  }

  ref(): void {
    (this.#borrowed() as unknown as { ref(): void }).ref();
  }

  unref(): void {
    (this.#borrowed() as unknown as { unref(): void }).unref();
  }

  /** @internal Called with the first listener: from now on the connection passes its events on to this client. */
  listens(): void {
    this.#context ??= presentContext();
    if (!this.#lease.released) this.#connection.borrower = this as unknown as PoolClient;
  }

  emit(event: string, ...parameters: unknown[]): boolean {
    const context = this.#context;
    if (context === undefined) return emitAsClient.call(this, event, ...parameters);
    return context.runInAsyncScope(emitAsClient, this, event, ...parameters);
  }

  /** @internal */
  property(name: string): unknown {
    if (name === '_types') this.#connection.session.lendTypeParsers();
    return (this.#borrowed() as unknown as Record<string, unknown>)[name];
  }

  #borrowed(): Client {
    if (this.#lease.released) throw this.#leaseOver('used');
    return this.#connection.client;
  }
}

const emitAsClient = pg.Client.prototype.emit as (event: string, ...parameters: unknown[]) => boolean;

/** Fields of `pg.Client` that cursors, streams, `COPY`, ORMs and logs read. */
const MIRRORED_PROPERTIES = [
  'connection',
  'connectionParameters',
  'processID',
  'secretKey',
  'user',
  'database',
  'host',
  'port',
  'ssl',
  'binary',
  'pipeline',
  'replication',
  'readyForQuery',
  'hasExecuted',
  '_types',
  '_queryable',
  '_ending',
  '_ended',
  '_connected',
  '_connecting',
  '_txStatus',
] as const;

for (const name of MIRRORED_PROPERTIES) {
  Object.defineProperty(PooledClientFacade.prototype, name, {
    configurable: true,
    get(this: PooledClientFacade) {
      return this.property(name);
    },
  });
}

for (const name of ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener'] as const) {
  const inherited = pg.Client.prototype[name] as (event: string, listener: () => void) => unknown;
  Object.defineProperty(PooledClientFacade.prototype, name, {
    configurable: true,
    value(this: PooledClientFacade, event: string, listener: () => void) {
      this.listens();
      return inherited.call(this, event, listener);
    },
  });
}

// Libraries ask `instanceof pg.Client`. Extending it would make a socket for every lease, so that only the
// prototype is shared: event methods and what isn't overridden above come from there.
Object.setPrototypeOf(PooledClientFacade.prototype, pg.Client.prototype);

/** A borrowed connection: a `pg.PoolClient`. */
export type PooledClient = PoolClient;

/** Makes the client of one lease. */
export const PooledClient = PooledClientFacade as unknown as new (
  host: PooledClientHost,
  lease: DatabaseLease,
) => PooledClient;
