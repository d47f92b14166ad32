import { Global, Module, type DynamicModule, type Type } from '@nestjs/common';
import { PrometheusModule, type PrometheusController } from '@willsoto/nestjs-prometheus';
import { PoolMetricsService } from './pool-metrics.service.js';

/** Publishes the pools of an application; it needs a provider of `MetricsSource` in a global module. */
@Global()
@Module({ providers: [PoolMetricsService], exports: [PoolMetricsService] })
export class PoolMetricsServiceModule {}

/** The metrics route. */
@Module({})
export class PoolMetricsModule {
  /** The module that serves a controller made by `createMetricsController`, at a path. */
  static register(path: string, controller: Type<PrometheusController>): DynamicModule {
    return {
      module: PoolMetricsModule,
      imports: [
        PoolMetricsServiceModule,
        PrometheusModule.register({ path, controller, defaultMetrics: { enabled: false } }),
      ],
    };
  }
}
