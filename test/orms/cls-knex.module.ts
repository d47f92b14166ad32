import { Module } from '@nestjs/common';
import { ClsPluginTransactional, type TransactionalAdapter } from '@nestjs-cls/transactional';
import type { Knex } from 'knex';
import { ClsModule } from 'nestjs-cls';
import { KNEX, KnexModule } from './knex.module.js';

/** `nestjs-cls`'s own adapter for Knex does the same. */
export class KnexAdapter implements TransactionalAdapter<Knex, Knex, Knex.TransactionConfig> {
  connectionToken = KNEX;

  optionsFactory = (knex: Knex) => ({
    wrapWithTransaction: (
      options: Knex.TransactionConfig,
      run: (...args: unknown[]) => Promise<unknown>,
      setTransaction: (transaction?: Knex) => void,
    ) =>
      knex.transaction((transaction) => {
        setTransaction(transaction);
        return run();
      }, options),
    getFallbackInstance: () => knex,
  });
}

@Module({
  imports: [
    KnexModule,
    ClsModule.forRoot({
      plugins: [
        new ClsPluginTransactional({ connectionName: 'knex', imports: [KnexModule], adapter: new KnexAdapter() }),
      ],
    }),
  ],
})
export class ClsKnexModule {}
