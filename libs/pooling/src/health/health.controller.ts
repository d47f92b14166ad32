import { Controller, Get, Inject, Injectable, UseGuards, VERSION_NEUTRAL, type Type } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { AnsweringGuard, NOT_STORED, type RouteAnswer } from '../routes/answering-guard.js';
import { decorateRoutes, type RouteDecorators } from '../routes/route-decorators.js';
import { PoolHealthService } from './pool-health.service.js';

/** Answers the health routes. */
@Injectable()
export class HealthAnswer extends AnsweringGuard {
  constructor(
    @Inject(HttpAdapterHost) adapter: HttpAdapterHost,
    private readonly health: PoolHealthService,
  ) {
    super(adapter);
  }

  protected override async answer(handler: string): Promise<RouteAnswer> {
    const body = handler === 'live' ? this.health.live() : await this.health.ready();
    return { status: 200, headers: NOT_STORED, body };
  }
}

/**
 * The health controller for a path: a class of its own for each call, because Nest keeps a controller's path on its
 * class. It answers in every version of the API, and under the application's global prefix like any other controller.
 */
export function createHealthController(path: string, decorators?: RouteDecorators): Type<unknown> {
  @Controller({ path, version: VERSION_NEUTRAL })
  class PoolHealthController {
    @Get()
    @UseGuards(HealthAnswer)
    whole(): void {}

    @Get('live')
    @UseGuards(HealthAnswer)
    live(): void {}

    @Get('ready')
    @UseGuards(HealthAnswer)
    ready(): void {}
  }
  decorateRoutes(PoolHealthController, decorators);
  return PoolHealthController;
}
