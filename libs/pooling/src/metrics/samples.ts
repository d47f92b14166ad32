import type { Exemplar, HistogramSnapshot } from '../core/histogram.js';

/** The labels of a series. */
export type Labels = Readonly<Record<string, string | number>>;

/** One line of the exposition format. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Where it isn't the family's own name: the `_bucket`, `_sum` and `_count` of a histogram. */
  readonly metricName?: string;
  /** The exemplar of a bucket, which prom-client prints where its registry speaks OpenMetrics. */
  readonly exemplar?: SampleExemplar;
}

/** One value that a bucket counted, by the trace that it was measured in. */
export interface SampleExemplar {
  readonly labelSet: { readonly trace_id: string; readonly span_id: string };
  /** Seconds, as the bucket's bound. */
  readonly value: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
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
  const metricName = `${name}_bucket`;
  const { exemplars } = histogram;
  let cumulated = 0;
  let from = 0;
  for (const [bucket, boundMs] of histogram.boundsMs.entries()) {
    cumulated += histogram.counts[bucket] as number;
    if (!PUBLISHED_BOUNDS_MS.has(boundMs)) continue;
    yield {
      metricName,
      labels: { le: boundMs / 1_000, ...labels },
      value: cumulated,
      ...newest(exemplars, from, bucket),
    };
    from = bucket + 1;
  }
  const last = histogram.boundsMs.length;
  yield { metricName, labels: { le: '+Inf', ...labels }, value: histogram.count, ...newest(exemplars, from, last) };
  yield { metricName: `${name}_sum`, labels, value: histogram.sumMs / 1_000 };
  yield { metricName: `${name}_count`, labels, value: histogram.count };
}

/** The newest exemplar of the histogram's own buckets from one to another, which are published as one. */
function newest(
  exemplars: readonly (Exemplar | undefined)[] | undefined,
  from: number,
  to: number,
): { exemplar: SampleExemplar } | undefined {
  let found: Exemplar | undefined;
  for (let bucket = from; bucket <= to; bucket++) {
    const exemplar = exemplars?.[bucket];
    if (exemplar !== undefined && (found === undefined || exemplar.at > found.at)) found = exemplar;
  }
  if (found === undefined) return undefined;
  const { traceId, spanId, ms, at } = found;
  return { exemplar: { labelSet: { trace_id: traceId, span_id: spanId }, value: ms / 1_000, timestamp: at / 1_000 } };
}
