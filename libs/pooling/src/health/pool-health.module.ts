import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { PingCache } from './ping-cache.js';
import { PoolHealthIndicator } from './pool-health.indicator.js';
import { PoolHealthService } from './pool-health.service.js';
import { terminus, terminusPackage } from './terminus.js';

/** Terminus logs an error for every probe that finds something down. Here it is logged once instead. */
const quietTerminus = terminusPackage.problem === undefined ? [terminus.TerminusModule.forRoot({ logger: false })] : [];
/** Without Terminus there are no indicators. */
const indicators = terminusPackage.problem === undefined ? [PoolHealthIndicator] : [];

/** The indicators; it needs a provider of `HealthSource` in a global module. */
@Module({
  imports: quietTerminus,
  providers: [PingCache, ...indicators],
  exports: indicators,
})
export class PoolHealthIndicatorModule {}

/** The health controller. */
@Module({})
export class PoolHealthModule {
  /** The module that serves a controller made by `createHealthController`. */
  static register(controller: Type<unknown>): DynamicModule {
    return {
      module: PoolHealthModule,
      imports: [...quietTerminus, PoolHealthIndicatorModule],
      controllers: [controller],
      providers: [PoolHealthService],
    };
  }
}
