import { AsyncLocalStorage } from 'node:async_hooks';
import { Logger } from '@nestjs/common';
import type { Metric } from 'prom-client';
import { DATABASE_FAMILIES } from './database-families.js';
import { HTTP_FAMILIES } from './http-families.js';
import type { MetricFamily, MetricType } from './metric-family.js';
import type { MetricsSnapshot } from './metrics-source.js';
import { prometheusClient } from './prometheus.js';
import type { Sample } from './samples.js';

/** The registry of the process. */
const { register } = prometheusClient;

/** An application whose metrics are published. */
export interface PublishedApplication {
  snapshot(): MetricsSnapshot;
}

/** Every family, in the order in which they are printed. */
export const METRIC_FAMILIES: readonly MetricFamily[] = [...DATABASE_FAMILIES, ...HTTP_FAMILIES];

/**
 * The applications of this process, newest first. prom-client's default registry belongs to the process, so what is
 * registered there must know them all; who scrapes an application through its own route sees that one alone.
 */
const applications = new Set<PublishedApplication>();
const scraped = new AsyncLocalStorage<PublishedApplication>();

/**
 * A family in prom-client's default registry. It holds no values: they are read when it is scraped, so nothing is
 * counted twice and a closed pool leaves nothing behind. prom-client's own classes would keep a copy of each value,
 * and their histogram takes observations only, not counts.
 */
class PublishedMetric {
  /** prom-client cuts `_total` off a counter's name when it prints OpenMetrics. */
  name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly aggregator = 'sum';
  readonly #family: MetricFamily;

  constructor(family: MetricFamily) {
    this.#family = family;
    this.name = family.name;
    this.help = family.help;
    this.type = family.type;
  }

  get(): Promise<{ name: string; help: string; type: MetricType; aggregator: string; values: Sample[] }> {
    const { name, help, type, aggregator } = this;
    return Promise.resolve({ name, help, type, aggregator, values: [...this.#samples()] });
  }

  /** Counters of pools can't be set back. */
  reset(): void {}

  *#samples(): IterableIterator<Sample> {
    const application = scraped.getStore();
    if (application !== undefined) return yield* this.#family.samples(application.snapshot());
    const seen = new Set<string>();
    for (const each of applications) {
      for (const sample of this.#family.samples(each.snapshot())) {
        const series = JSON.stringify([sample.metricName, sample.labels]);
        // Two applications with pools of the same name: one series can't have two values, and the newer one counts.
        if (applications.size > 1 && seen.has(series)) continue;
        seen.add(series);
        yield sample;
      }
    }
  }
}

const metrics = METRIC_FAMILIES.map((family) => new PublishedMetric(family));

/** Publishes an application in prom-client's default registry, until the returned function is called. */
export function publish(application: PublishedApplication): () => void {
  const older = [...applications];
  applications.clear();
  for (const each of [application, ...older]) applications.add(each);
  registerFamilies();
  return () => {
    applications.delete(application);
    if (applications.size === 0) unregisterFamilies();
  };
}

/** Everything that the default registry holds, with the series of this application alone. */
export function scrape(application: PublishedApplication, extra: readonly Metric[] = []): Promise<string> {
  // The registry may have been cleared, as tests do.
  registerFamilies();
  return scraped.run(application, () => {
    const added = extra.filter((metric) => register.getSingleMetric(nameOf(metric)) === undefined);
    for (const metric of added) register.registerMetric(metric);
    // `metrics()` takes its list at once and awaits the values later; what is added for this scrape leaves directly.
    const text = register.metrics();
    for (const metric of added) register.removeSingleMetric(nameOf(metric));
    return text;
  });
}

/** Runs what scrapes the default registry on behalf of an application. */
export function scrapedFor<T>(application: PublishedApplication, run: () => T): T {
  return scraped.run(application, run);
}

/** A metric's name; prom-client's classes have one, and their types don't. */
export function nameOf(metric: Metric): string {
  return (metric as unknown as { name: string }).name;
}

function registerFamilies(): void {
  for (const [at, metric] of metrics.entries()) {
    const { name } = METRIC_FAMILIES[at] as MetricFamily;
    const registered = register.getSingleMetric(name) as unknown;
    if (registered === undefined) {
      metric.name = name;
      register.registerMetric(metric as unknown as Metric);
    } else if (registered !== metric && !foreign.has(name)) {
      foreign.add(name);
      new Logger('PoolMetrics').warn(
        `The metric ${name} is registered already by somebody else, whose values are shown`,
      );
    }
  }
}

const foreign = new Set<string>();

function unregisterFamilies(): void {
  for (const [at, metric] of metrics.entries()) {
    const { name } = METRIC_FAMILIES[at] as MetricFamily;
    if ((register.getSingleMetric(name) as unknown) === metric) register.removeSingleMetric(name);
  }
}
