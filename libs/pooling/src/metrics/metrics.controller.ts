import { Controller, Get, Res, VERSION_NEUTRAL, type Type } from '@nestjs/common';
import type { PrometheusController } from '@willsoto/nestjs-prometheus';
import { nodeMetrics } from './node-metrics.js';
import { PoolMetricsService } from './pool-metrics.service.js';
import { nestPrometheus, prometheusClient } from './prometheus.js';

/** What Express' and Fastify's answers have in common. */
interface Answer {
  header(name: string, value: string): unknown;
}

/**
 * The metrics controller: a class of its own for each call, because Nest keeps a controller's path on its class and
 * `PrometheusModule` writes it there.
 */
export function createMetricsController(defaultMetrics: boolean): Type<PrometheusController> {
  @Controller({ version: VERSION_NEUTRAL })
  class PoolMetricsController extends nestPrometheus.PrometheusController {
    constructor(private readonly metrics: PoolMetricsService) {
      super();
    }

    @Get()
    override async index(@Res({ passthrough: true }) response: unknown): Promise<string> {
      const text = await this.metrics.scrape(defaultMetrics ? nodeMetrics() : []);
      (response as Answer).header('Content-Type', prometheusClient.register.contentType);
      return text;
    }
  }
  return PoolMetricsController;
}
