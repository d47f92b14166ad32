import { Module } from '@nestjs/common';
import { ClsPluginTransactional, type TransactionalAdapter } from '@nestjs-cls/transactional';
import type { Kysely } from 'kysely';
import { ClsModule } from 'nestjs-cls';
import { getDbToken } from 'nestjs-pooling';

export interface Tables {
  book: { id: number; title: string };
}

type Options = { isolationLevel?: 'read committed' | 'repeatable read' | 'serializable' };

/** `nestjs-cls`'s own adapter for Kysely does the same: the token of `@InjectDb()` is what it needs. */
export class KyselyAdapter implements TransactionalAdapter<Kysely<Tables>, Kysely<Tables>, Options> {
  connectionToken = getDbToken();

  optionsFactory = (db: Kysely<Tables>) => ({
    wrapWithTransaction: (
      options: Options | undefined,
      run: (...args: unknown[]) => Promise<unknown>,
      setTransaction: (transaction?: Kysely<Tables>) => void,
    ) => {
      const builder = db.transaction();
      const level = options?.isolationLevel;
      return (level === undefined ? builder : builder.setIsolationLevel(level)).execute((transaction) => {
        setTransaction(transaction);
        return run();
      });
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
