import { Controller, Get, Inject, Injectable, UseGuards, VERSION_NEUTRAL, type Type } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { PrometheusController } from '@willsoto/nestjs-prometheus';
import { AnsweringGuard, type RouteAnswer } from '../routes/answering-guard.js';
import { decorateRoutes, type RouteDecorators } from '../routes/route-decorators.js';
import { nodeMetrics } from './node-metrics.js';
import { PoolMetricsService } from './pool-metrics.service.js';
import { nestPrometheus, prometheusClient } from './prometheus.js';

/** Answers the metrics route, with prom-client's metrics of the Node process or without. */
function metricsAnswer(defaultMetrics: boolean): Type<AnsweringGuard> {
  @Injectable()
  class MetricsAnswer extends AnsweringGuard {
    constructor(
      @Inject(HttpAdapterHost) adapter: HttpAdapterHost,
      @Inject(PoolMetricsService) private readonly metrics: PoolMetricsService,
    ) {
      super(adapter);
    }

    protected override async answer(): Promise<RouteAnswer> {
      const body = await this.metrics.scrape(defaultMetrics ? nodeMetrics() : []);
      return { status: 200, headers: { 'Content-Type': prometheusClient.register.contentType }, body };
    }
  }
  return MetricsAnswer;
}

/**
 * The metrics controller: a class of its own for each call, because Nest keeps a controller's path on its class and
 * `PrometheusModule` writes it there.
 */
export function createMetricsController({
  defaultMetrics = false,
  decorators,
}: {
  readonly defaultMetrics?: boolean;
  readonly decorators?: RouteDecorators;
}): Type<PrometheusController> {
  @Controller({ version: VERSION_NEUTRAL })
  class PoolMetricsController extends nestPrometheus.PrometheusController {
    @Get()
    @UseGuards(metricsAnswer(defaultMetrics))
    override async index(): Promise<string> {
      return '';
    }
  }
  decorateRoutes(PoolMetricsController, decorators);
  return PoolMetricsController;
}
