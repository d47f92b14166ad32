import type { HistogramSnapshot } from '../core/histogram.js';

/** Percentiles of what was recorded between two snapshots of one histogram, in milliseconds; 0 when nothing was. */
export interface WindowPercentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Percentiles between two snapshots, interpolated within their buckets; the last bucket counts as its lower bound. */
export function percentilesBetween(before: HistogramSnapshot, after: HistogramSnapshot): WindowPercentiles {
  const total = after.count - before.count;
  if (total <= 0) return { p50: 0, p95: 0, p99: 0 };
  const at = (fraction: number): number => {
    const rank = fraction * total;
    let below = 0;
    for (let bucket = 0; bucket < after.counts.length; bucket++) {
      const inBucket = (after.counts[bucket] as number) - (before.counts[bucket] as number);
      const from = bucket === 0 ? 0 : (after.boundsMs[bucket - 1] as number);
      const to = after.boundsMs[bucket] ?? from;
      if (inBucket > 0 && below + inBucket >= rank) return from + ((to - from) * (rank - below)) / inBucket;
      below += inBucket;
    }
    return after.boundsMs.at(-1) as number;
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
