import { Global, Module } from '@nestjs/common';
import { getDbPoolToken, type DatabasePool } from 'nestjs-pooling';
import pg, { type PoolClient } from 'pg';
import { Sequelize } from 'sequelize';

/** What Sequelize 6 has, and doesn't declare. */
interface Inside {
  options: { databaseVersion: string };
  connectionManager: object;
}

/** Sequelize on this pool: its connection manager leases and returns, and makes no connection of its own. */
export function createSequelize(pool: DatabasePool): Sequelize {
  const sequelize = new Sequelize({ dialect: 'postgres', dialectModule: pg, logging: false });
  const inside = sequelize as unknown as Inside;
  inside.options.databaseVersion = '18.0.0'; // your server's; it would dial to find out
  Object.assign(inside.connectionManager, {
    getConnection: () => pool.connect(),
    releaseConnection: (client: PoolClient) => client.release(),
    destroyConnection: (client: PoolClient) => client.release(true),
  });
  return sequelize;
}

@Global()
@Module({
  providers: [{ provide: Sequelize, inject: [getDbPoolToken()], useFactory: createSequelize }],
  exports: [Sequelize],
})
export class SequelizeModule {}
