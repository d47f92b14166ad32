import { Global, Module } from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer } from '@nestjs/core';
import { PoolAdvisor } from '../advice/pool-advisor.js';
import { ConsoleSource } from '../console/console-source.js';
import { HealthSource } from '../health/health-source.js';
import { PoolHealthIndicatorModule } from '../health/pool-health.module.js';
import { MetricsSource } from '../metrics/metrics-source.js';
import { PoolTelemetry } from '../metrics/pool-telemetry.js';
import { ApplicationSpans } from './application-spans.js';
import { StoreConsoleSource } from './console-source.js';
import { HandlerLabelInterceptor, HandlerLabels } from './handler-labels.js';
import { PoolAdvice } from './pool-advice.js';
import { PoolRegistry } from './pool-registry.js';
import { PoolStore } from './pool-store.js';
import { PoolShutdown } from './shutdown.js';
import { StoreHealthSource, StoreMetricsSource } from './sources.js';
import { PoolStartup } from './startup.js';
import { TransactionalCheck } from './transactional-check.js';

/**
 * Owns every pool of an application. A static module, not a dynamic one: Nest tells dynamic modules apart by
 * reference, so each import of one would own pools of its own.
 */
@Global()
@Module({
  imports: [PoolHealthIndicatorModule],
  providers: [
    PoolStore,
    PoolRegistry,
    ApplicationSpans,
    HandlerLabels,
    { provide: APP_INTERCEPTOR, useClass: HandlerLabelInterceptor },
    PoolAdvice,
    { provide: PoolAdvisor, useFactory: ({ advisor }: PoolAdvice) => advisor, inject: [PoolAdvice] },
    PoolTelemetry,
    PoolStartup,
    TransactionalCheck,
    PoolShutdown,
    { provide: HealthSource, useClass: StoreHealthSource },
    { provide: MetricsSource, useClass: StoreMetricsSource },
    { provide: ConsoleSource, useClass: StoreConsoleSource },
  ],
  exports: [
    PoolStore,
    PoolRegistry,
    PoolShutdown,
    ApplicationSpans,
    HandlerLabels,
    PoolAdvice,
    PoolAdvisor,
    PoolTelemetry,
    HealthSource,
    MetricsSource,
    ConsoleSource,
    PoolHealthIndicatorModule,
  ],
})
export class PoolingCoreModule {
  /**
   * Nest runs the shutdown hooks of modules by their distance from the root, the farthest last. All global modules have the same
   * distance, and run in the order of their import. This module puts itself one step farther, so that pools close after
   * queues, schedulers and other users, wherever the application imports it.
   */
  constructor(modules: ModulesContainer) {
    for (const module of modules.values()) {
      if (module.metatype === PoolingCoreModule) module.distance = Infinity;
    }
  }
}
