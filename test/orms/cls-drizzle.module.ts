import { Module } from '@nestjs/common';
import { ClsPluginTransactional } from '@nestjs-cls/transactional';
import { TransactionalAdapterDrizzleOrm } from '@nestjs-cls/transactional-adapter-drizzle-orm';
import { ClsModule } from 'nestjs-cls';
import { DRIZZLE, DrizzleModule, type Drizzle } from './drizzle.module.js';

export type DrizzleAdapter = TransactionalAdapterDrizzleOrm<Drizzle>;

@Module({
  imports: [
    DrizzleModule,
    ClsModule.forRoot({
      plugins: [
        new ClsPluginTransactional({
          connectionName: 'drizzle',
          imports: [DrizzleModule],
          adapter: new TransactionalAdapterDrizzleOrm<Drizzle>({ drizzleInstanceToken: DRIZZLE }),
        }),
      ],
    }),
  ],
})
export class ClsDrizzleModule {}
