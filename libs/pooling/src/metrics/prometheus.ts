import { optionalPackage, type OptionalPackage } from '../core/optional-package.js';
import { loadNestPrometheus, loadPrometheusClient } from './metrics-packages.cjs';

type PrometheusClient = typeof import('prom-client');
type NestPrometheus = typeof import('@willsoto/nestjs-prometheus');

/** prom-client: an application with `metrics: false` needs none. */
export const prometheusClientPackage: OptionalPackage<PrometheusClient> = optionalPackage<PrometheusClient>(
  'prom-client',
  loadPrometheusClient(),
);
/** Nest's module over it, in the same way. */
export const nestPrometheusPackage: OptionalPackage<NestPrometheus> = optionalPackage<NestPrometheus>(
  '@willsoto/nestjs-prometheus',
  loadNestPrometheus(),
);

/** What prom-client exports. */
export const prometheusClient: PrometheusClient = prometheusClientPackage.module;
/** What Nest's module over it exports. */
export const nestPrometheus: NestPrometheus = nestPrometheusPackage.module;
