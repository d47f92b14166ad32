import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Metric } from 'prom-client';
import { MetricsSource, type MetricsSnapshot } from './metrics-source.js';
import { publish, scrape, scrapedFor, type PublishedApplication } from './published-metric.js';

/** The metrics of one application: published from its start to its end, and filled when somebody scrapes. */
@Injectable()
export class PoolMetricsService implements PublishedApplication, OnModuleInit, OnApplicationShutdown {
  #snapshot: MetricsSnapshot | undefined;
  #unpublish: (() => void) | undefined;

  constructor(private readonly source: MetricsSource) {}

  onModuleInit(): void {
    this.#unpublish ??= publish(this);
  }

  onApplicationShutdown(): void {
    this.#unpublish?.();
    this.#unpublish = undefined;
  }

  /** The numbers now; all families of a scrape read them in one tick, and share them. */
  snapshot(): MetricsSnapshot {
    if (this.#snapshot === undefined) {
      this.#snapshot = this.source.snapshot();
      queueMicrotask(() => (this.#snapshot = undefined));
    }
    return this.#snapshot;
  }

  /** Everything in prom-client's default registry, this application's pools, and `extra`, as text. */
  scrape(extra: readonly Metric[]): Promise<string> {
    return scrape(this, extra);
  }

  /** Runs a handler that scrapes the default registry by itself, so that it sees this application's pools alone. */
  scrapedHere<T>(run: () => T): T {
    return scrapedFor(this, run);
  }
}
