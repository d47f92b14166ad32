import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { PoolingModule, type PoolingModuleOptions } from 'nestjs-pooling';
import type { PostgresCluster } from 'nestjs-pooling/testing';
import { CatalogueModule } from './catalogue/catalogue.module.js';
import { ClusterModule } from './cluster/cluster.module.js';
import { ThisMachineGuard } from './console/this-machine.guard.js';
import { DatabaseSetup } from './database/database-setup.js';
import { FaultsModule } from './faults/faults.module.js';
import { PoolingErrorsFilter } from './http/pooling-errors.filter.js';
import { OrdersModule } from './orders/orders.module.js';
import { WelcomeController } from './welcome.controller.js';
import type { TraceStore } from './traces/trace-store.js';
import { TracesModule } from './traces/traces.module.js';
import { SETTINGS, SettingsModule, type RunningSettings } from './settings.module.js';

/** What runs beside the shop in its process. */
export interface Surroundings {
  readonly traces?: TraceStore | undefined;
  readonly cluster?: PostgresCluster | undefined;
}

/** The shop. */
@Module({})
export class AppModule {
  static forRoot(settings: RunningSettings, { traces, cluster }: Surroundings = {}): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SettingsModule.forRoot(settings),
        PoolingModule.forRootAsync({
          health: { path: 'health' },
          metrics: { path: '/metrics', defaultMetrics: true },
          console: { path: 'pools', guards: [ThisMachineGuard], allowedActions: settings.consoleActions },
          inject: [SETTINGS],
          useFactory: ({
            cluster: ofItsOwn,
            databaseBudget,
            databaseUrl,
            drainDelayMs,
            leakDetectionMs,
            preparedStatements,
            slowQueryMs,
          }: RunningSettings): PoolingModuleOptions => ({
            database: {
              url: databaseUrl,
              // Of all servers, those that are standbys: a promotion changes which.
              replicas: ofItsOwn ? { url: databaseUrl } : undefined,
              applicationName: 'shop',
              budget: databaseBudget === undefined ? undefined : { connections: databaseBudget },
              minIdle: 2,
              leakDetectionMs,
              preparedStatements,
              slowQueryMs,
              slowQueryPlan: slowQueryMs > 0,
              // A person waits for the answer.
              acquireTimeoutMs: 5_000,
              // A server that falls silent is left after this.
              queryTimeoutMs: ofItsOwn ? 10_000 : undefined,
              startup: 'required',
            },
            http: false,
            shutdown: { drainDelayMs },
          }),
        }),
        CatalogueModule,
        OrdersModule,
        ...(settings.faults ? [FaultsModule] : []),
        ...(cluster === undefined ? [] : [ClusterModule.forRoot(cluster)]),
        ...(traces === undefined ? [] : [TracesModule.forRoot(traces)]),
      ],
      controllers: [WelcomeController],
      providers: [DatabaseSetup, { provide: APP_FILTER, useClass: PoolingErrorsFilter }],
    };
  }
}
