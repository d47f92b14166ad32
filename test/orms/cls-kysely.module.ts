import { Module } from '@nestjs/common';
import { ClsPluginTransactional, type TransactionalAdapter } from '@nestjs-cls/transactional';
import type { ControlledTransaction, IsolationLevel, Kysely } from 'kysely';
import { ClsModule } from 'nestjs-cls';
import { getDbToken } from 'nestjs-pooling';

export interface Tables {
  book: { id: number; title: string };
}

type Options = { isolationLevel?: IsolationLevel } | undefined;

/** The token of `@InjectDb()` is what an adapter for Kysely needs, that of `nestjs-cls` as well; this one can nest. */
export class KyselyAdapter implements TransactionalAdapter<Kysely<Tables>, Kysely<Tables>, Options> {
  connectionToken = getDbToken();

  optionsFactory = (db: Kysely<Tables>) => ({
    wrapWithTransaction: async (
      options: Options,
      run: () => Promise<unknown>,
      setTransaction: (transaction?: Kysely<Tables>) => void,
    ) => {
      const builder = db.startTransaction();
      const level = options?.isolationLevel;
      const transaction = await (level === undefined ? builder : builder.setIsolationLevel(level)).execute();
      try {
        setTransaction(transaction);
        const result = await run();
        await transaction.commit().execute();
        return result;
      } catch (error) {
        if (!transaction.isCommitted) await transaction.rollback().execute();
        throw error;
      }
    },
    wrapWithNestedTransaction: async (
      _options: Options,
      run: () => Promise<unknown>,
      setTransaction: (transaction?: Kysely<Tables>) => void,
      outer: Kysely<Tables>,
    ) => {
      const transaction = outer as ControlledTransaction<Tables, string[]>;
      await transaction.savepoint('nested').execute();
      try {
        setTransaction(transaction);
        return await run();
      } catch (error) {
        await transaction.rollbackToSavepoint('nested').execute();
        throw error;
      } finally {
        await transaction.releaseSavepoint('nested').execute();
      }
    },
    getFallbackInstance: () => db,
  });
}

@Module({
  imports: [
    ClsModule.forRoot({
      plugins: [new ClsPluginTransactional({ connectionName: 'kysely', adapter: new KyselyAdapter() })],
    }),
  ],
})
export class ClsKyselyModule {}
