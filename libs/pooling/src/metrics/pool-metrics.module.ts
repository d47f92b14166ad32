import {
  Global,
  Module,
  type DynamicModule,
  type MiddlewareConsumer,
  type NestModule,
  type Type,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import type { PrometheusController } from '@willsoto/nestjs-prometheus';
import { PoolMetricsService } from './pool-metrics.service.js';
import { nestPrometheus } from './prometheus.js';

/** Publishes the pools of an application; it needs a provider of `MetricsSource` in a global module. */
@Global()
@Module({ providers: [PoolMetricsService], exports: [PoolMetricsService] })
export class PoolMetricsServiceModule {}

/** The metrics route. */
@Module({})
export class PoolMetricsModule implements NestModule {
  constructor(
    private readonly metrics: PoolMetricsService,
    private readonly modules: ModulesContainer,
  ) {}

  /** The module that serves a controller made by `createMetricsController`, at a path. */
  static register(path: string, controller: Type<PrometheusController>): DynamicModule {
    return {
      module: PoolMetricsModule,
      imports: [
        PoolMetricsServiceModule,
        nestPrometheus.PrometheusModule.register({ path, controller, defaultMetrics: { enabled: false } }),
      ],
    };
  }

  /** The application's own Prometheus controllers print the registry of the process: here with this application's pools alone. */
  configure(consumer: MiddlewareConsumer): void {
    const controllers = new Set<Type<unknown>>();
    for (const { controllers: registered } of this.modules.values()) {
      for (const { metatype } of registered.values()) if (isPrometheusController(metatype)) controllers.add(metatype);
    }
    if (controllers.size === 0) return;
    const onBehalf = (_request: unknown, _response: unknown, next: () => void): void => this.metrics.scrapedHere(next);
    consumer.apply(onBehalf).forRoutes(...controllers);
  }
}

function isPrometheusController(metatype: unknown): metatype is Type<PrometheusController> {
  const { PrometheusController: Own } = nestPrometheus;
  return metatype === Own || (typeof metatype === 'function' && metatype.prototype instanceof Own);
}
