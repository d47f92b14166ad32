import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { PoolNotConfiguredError } from '../core/errors.js';
import { PoolStore } from './pool-store.js';
import { databasesUsedBy } from './transactional.js';

/** Refuses to start an application in which a method's transactions have no database. */
@Injectable()
export class TransactionalCheck implements OnModuleInit {
  constructor(
    private readonly modules: ModulesContainer,
    private readonly store: PoolStore,
  ) {}

  /** @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED` that names class and method. */
  onModuleInit(): void {
    for (const { providers, controllers, injectables } of this.modules.values()) {
      for (const wrappers of [providers, controllers, injectables]) {
        for (const { metatype, inject } of wrappers.values()) {
          // The result of a factory may have no class.
          if (typeof metatype === 'function' && inject === undefined) this.#check(metatype);
        }
      }
    }
  }

  #check(type: object): void {
    for (const { method, database } of databasesUsedBy(type)) {
      if (this.store.isDeclared('database', database)) continue;
      const known = this.store.databases.map(({ pool }) => pool.name);
      throw new PoolNotConfiguredError(
        database,
        `${database}: @Transactional() of ${method} names a database that isn't configured; ` +
          (known.length === 0 ? 'there is none' : `there is ${known.join(', ')}`),
      );
    }
  }
}
