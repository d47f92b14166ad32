import { Inject, Logger, Optional } from '@nestjs/common';
import type { Kysely } from 'kysely';
import { firstValueFrom, from, isObservable, toArray } from 'rxjs';
import { PoolNotConfiguredError } from '../core/errors.js';
import { keepRequests } from '../core/request-context.js';
import { runCall } from '../database/kysely/ambient/transactional-call.js';
import { standInWay } from '../database/kysely/ambient/stand-in.js';
import {
  refuseTransactionalOptions,
  type TransactionalOptions,
} from '../database/kysely/ambient/transactional-options.js';
import { AmbientAccess, type TransactionalWay } from '../database/kysely/ambient/ambient-access.js';
import { DEFAULT_NAME, getDbToken } from './tokens.js';

type Method = (this: object, ...args: never[]) => Promise<unknown>;

/** A decorator of methods that return a promise. */
export type TransactionalDecorator = <Decorated extends (...args: never[]) => Promise<unknown>>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Decorated>,
) => void;

/** A database that methods of a class run their transactions on. */
interface UsedDatabase {
  readonly method: string;
  readonly database: string;
}

const USED = Symbol('nestjs-pooling:transactional');

/**
 * What Nest has injected into an instance: the `Kysely` of each database that its methods name. Kept here and not in a
 * property, so that the user's objects have no properties that are not theirs.
 */
const injected = new WeakMap<object, Map<string, object>>();

/**
 * Runs the method in a transaction that whatever it calls belongs to: see {@link transactional}. The database is that of the
 * application which its instance belongs to; in a unit test without Nest, use `transactional(db, fn)` instead.
 *
 * ```ts
 * @Injectable()
 * class PlacedOrders {
 *   constructor(
 *     @InjectDb() private readonly db: Kysely<Database>,
 *     private readonly stock: { take(id: number): Promise<void> },
 *   ) {}
 *
 *   @Transactional()
 *   async place(id: number): Promise<void> {
 *     await this.stock.take(id); // its own @InjectDb() joins
 *     await this.db.updateTable('orders').set({ paid: true }).where('id', '=', id).execute();
 *   }
 * }
 * ```
 *
 * While the application starts: `ERR_POOL_NOT_CONFIGURED` when the database isn't configured. When it is called:
 * `ERR_POOL_NOT_CONFIGURED` on an instance that Nest didn't make, and what {@link transactional} rejects with.
 */
export function Transactional(options: TransactionalOptions = {}): TransactionalDecorator {
  const { database = DEFAULT_NAME } = options;
  return (target, property, descriptor) => {
    const name = `${target.constructor.name}.${String(property)}`;
    refuseTransactionalOptions(name, options);
    if (typeof target === 'function') {
      throw new TypeError(`@Transactional() is for methods of instances, and ${String(property)} is static`);
    }
    const original = descriptor.value as Method | undefined;
    if (typeof original !== 'function') throw new TypeError(`@Transactional() is for methods, and ${name} isn't one`);
    if (/Generator/.test(original.constructor.name)) {
      throw new TypeError(
        `@Transactional() is for methods that give a promise, and ${name} is a generator: what it does comes when it is read`,
      );
    }
    // A promise keeps its context from its beginning.
    keepRequests();
    injectInto(target, database);
    note(target.constructor, { method: name, database });
    const transactionalMethod: Method = async function (...args) {
      const way = wayFor(this, database, name);
      return await runCall({ way, options, method: name, fn: () => readWithin(name, original.apply(this, args)) });
    };
    resemble(transactionalMethod, original);
    descriptor.value = transactionalMethod as unknown as typeof descriptor.value;
  };
}

/**
 * What a method gives, read within its transaction: an Observable would be read when that is over, and what it does then would run
 * outside, though nobody has said so. Thus an interceptor is around its handler.
 */
async function readWithin(method: string, given: Promise<unknown>): Promise<unknown> {
  const result = await given;
  if (isObservable(result)) return from(await firstValueFrom(result.pipe(toArray())));
  if (isIterator(result)) {
    throw new TypeError(
      `@Transactional() is for methods that give a promise of what they have read, and ${method} gave an iterator: what that does ` +
        'comes when the transaction is over',
    );
  }
  return result;
}

function isIterator(result: unknown): boolean {
  if (typeof result !== 'object' || result === null) return false;
  const { next } = result as { next?: unknown };
  return typeof next === 'function' && (Symbol.asyncIterator in result || Symbol.iterator in result);
}

/** Nest sets the property on each instance that it makes, of any scope; a setter on the prototype keeps the value. */
function injectInto(target: object, database: string): void {
  const key = Symbol.for(`nestjs-pooling:transactional:${database}`);
  if (Object.hasOwn(target, key)) return;
  Object.defineProperty(target, key, {
    configurable: true,
    set(this: object, db: object) {
      const databases = injected.get(this) ?? new Map<string, object>();
      injected.set(this, databases.set(database, db));
    },
  });
  Inject(getDbToken(database))(target, key);
  Optional()(target, key);
}

function note(owner: object, used: UsedDatabase): void {
  const inherited = (Reflect.getMetadata(USED, owner) ?? []) as readonly UsedDatabase[];
  Reflect.defineMetadata(USED, [...inherited, used], owner);
}

/** The databases that the methods of a class run their transactions on. */
export function databasesUsedBy(type: object): readonly UsedDatabase[] {
  return (Reflect.getMetadata(USED, type) ?? []) as readonly UsedDatabase[];
}

/** Copies name, length and the metadata of other decorators to the new method. */
function resemble(method: Method, original: Method): void {
  for (const key of Reflect.getOwnMetadataKeys(original)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, original), method);
  }
  Object.defineProperty(method, 'name', { value: original.name, configurable: true });
  Object.defineProperty(method, 'length', { value: original.length, configurable: true });
}

const replaced = new WeakSet<object>();

function warnOnce(db: object, message: string): void {
  if (replaced.has(db)) return;
  replaced.add(db);
  new Logger('PoolingModule').warn(message);
}

function wayFor(instance: object, database: string, method: string): TransactionalWay {
  const db = injected.get(instance)?.get(database);
  if (db === undefined) {
    throw new PoolNotConfiguredError(
      database,
      `${database}: ${method} can't run in a transaction: Nest has injected no database into this instance. ` +
        'List its class as a provider or a controller and import PoolingModule; where something else makes the instance ' +
        '(a unit test, useFactory, useValue), call transactional(db, fn) instead of @Transactional()',
    );
  }
  return AmbientAccess.of(db as Kysely<unknown>)?.way ?? standInWay(db, database, warnOnce);
}
