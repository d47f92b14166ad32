import type { HistogramSnapshot } from '../core/histogram.js';

/** The labels of a series. */
export type Labels = Readonly<Record<string, string | number>>;

/** One line of the exposition format. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Where it isn't the family's own name: the `_bucket`, `_sum` and `_count` of a histogram. */
  readonly metricName?: string;
}

/**
 * The buckets that are published, in milliseconds: every second or so of the histogram's own, from half a millisecond
 * to a minute, so that a series per method and status stays affordable. They reach past the default acquire time-out.
 */
export const PUBLISHED_BOUNDS_MS: ReadonlySet<number> = new Set([
  0.5, 1, 2.5, 6, 10, 25, 60, 100, 250, 600, 1_000, 2_500, 6_000, 10_000, 30_000, 60_000,
]);

/** The lines of one histogram, its times in seconds as Prometheus counts them. */
export function* histogramSamples(
  name: string,
  labels: Labels,
  histogram: HistogramSnapshot,
): IterableIterator<Sample> {
  let cumulated = 0;
  for (const [bucket, boundMs] of histogram.boundsMs.entries()) {
    cumulated += histogram.counts[bucket] as number;
    if (!PUBLISHED_BOUNDS_MS.has(boundMs)) continue;
    yield { metricName: `${name}_bucket`, labels: { le: boundMs / 1_000, ...labels }, value: cumulated };
  }
  yield { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: histogram.count };
  yield { metricName: `${name}_sum`, labels, value: histogram.sumMs / 1_000 };
  yield { metricName: `${name}_count`, labels, value: histogram.count };
}
