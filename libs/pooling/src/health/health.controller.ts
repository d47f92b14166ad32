import { Controller, Get, VERSION_NEUTRAL, type Type } from '@nestjs/common';
import type { HealthCheckResult } from '@nestjs/terminus';
import { PoolHealthService } from './pool-health.service.js';
import { terminus } from './terminus.js';

/**
 * The health controller for a path: a class of its own for each call, because Nest keeps a controller's path on its
 * class. It answers in every version of the API, and under the application's global prefix like any other controller.
 */
export function createHealthController(path: string): Type<unknown> {
  @Controller({ path, version: VERSION_NEUTRAL })
  class PoolHealthController {
    constructor(private readonly health: PoolHealthService) {}

    @Get()
    @terminus.HealthCheck()
    whole(): Promise<HealthCheckResult> {
      return this.health.ready();
    }

    @Get('live')
    @terminus.HealthCheck()
    live(): HealthCheckResult {
      return this.health.live();
    }

    @Get('ready')
    @terminus.HealthCheck()
    ready(): Promise<HealthCheckResult> {
      return this.health.ready();
    }
  }
  return PoolHealthController;
}
