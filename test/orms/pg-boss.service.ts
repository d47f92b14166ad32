import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { InjectDbPool, type DatabasePool } from 'nestjs-pooling';
import PgBoss from 'pg-boss'; // from version 11 on: import { PgBoss } from 'pg-boss'

@Injectable()
export class Jobs implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(Jobs.name);
  readonly boss: PgBoss;

  constructor(@InjectDbPool() pool: DatabasePool) {
    this.boss = new PgBoss({ db: { executeSql: (text, values) => pool.query(text, values) } });
    this.boss.on('error', (error) => this.logger.error(error));
  }

  async onModuleInit(): Promise<void> {
    await this.boss.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.boss.stop({ close: false });
  }
}
