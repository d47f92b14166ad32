import { Injectable } from '@nestjs/common';
import type { Advice } from '../advice/advice.js';
import type { PoolLoad } from '../advice/load.js';
import {
  ConsoleSource,
  type ConsoleDatabase,
  type ConsoleHttpClient,
  type PlainConfiguration,
} from '../console/console-source.js';
import { accessWhenUsed } from '../database/database-access.js';
import type { StatementList } from '../database/query/statement-tally.js';
import { HandlerLabels } from './handler-labels.js';
import { plainSettings } from './plain-settings.js';
import { PoolAdvice } from './pool-advice.js';
import { PoolStore } from './pool-store.js';

/** Shows the console the pools that the application uses. */
@Injectable()
export class StoreConsoleSource extends ConsoleSource {
  constructor(
    private readonly store: PoolStore,
    private readonly poolAdvice: PoolAdvice,
    private readonly labels: HandlerLabels,
  ) {
    super();
  }

  override databases(): readonly ConsoleDatabase[] {
    return this.store.databases.filter(({ inUse }) => inUse).map(({ pool }) => pool);
  }

  override httpClients(): readonly ConsoleHttpClient[] {
    return this.store.httpClients;
  }

  override configuration(kind: 'database' | 'http', name: string): PlainConfiguration {
    const of = kind === 'database' ? this.store.database(name).pool.configuration : this.store.httpClient(name).options;
    return plainSettings(of);
  }

  override advice(): readonly Advice[] {
    return this.poolAdvice.advisor.latest;
  }

  override async refreshAdvice(): Promise<void> {
    await this.poolAdvice.advisor.advise();
  }

  override load(pool: string): PoolLoad | undefined {
    return this.poolAdvice.advisor.load(pool);
  }

  override countStatements(): void {
    // On whose behalf, where that is cheap to know.
    this.labels.enable();
    for (const { pool } of this.store.databases) accessWhenUsed(pool).tally.start();
  }

  override statements(pool: string): StatementList | undefined {
    return accessWhenUsed(this.store.database(pool).pool).tally.list();
  }
}
