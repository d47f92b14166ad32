import type { SpanRef } from './span-sink.js';

/** Upper bounds of the buckets, in milliseconds: 0.1 ms to 2 minutes, about 1.6 apart, closer than any percentile needs. */
export const BUCKET_BOUNDS_MS: readonly number[] = Object.freeze([
  0.1, 0.25, 0.5, 1, 1.5, 2.5, 4, 6, 10, 15, 25, 40, 60, 100, 150, 250, 400, 600, 1_000, 1_500, 2_500, 4_000, 6_000,
  10_000, 15_000, 30_000, 60_000, 120_000,
]);

const SHORTEST_MS = BUCKET_BOUNDS_MS[0] as number;

/** Percentiles of a histogram, in milliseconds. `NaN`-free: an empty histogram gives zeros. */
export interface Percentiles {
  readonly count: number;
  readonly sumMs: number;
  readonly meanMs: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** One duration of a bucket, by the trace in which it was measured. */
export interface Exemplar extends SpanRef {
  readonly ms: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What a histogram held at a moment, for Prometheus: counts per bucket, not cumulated. */
export interface HistogramSnapshot {
  readonly boundsMs: readonly number[];
  /** One longer than `boundsMs`: the last bucket has no bound. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumMs: number;
  /** The newest of each bucket, where any was measured in a trace. */
  readonly exemplars?: readonly (Exemplar | undefined)[];
}

/** Which bucket a duration is counted in: most are short, and take the first one without a search. */
export function bucketOf(ms: number): number {
  let low = 0;
  let high = ms <= SHORTEST_MS ? 0 : BUCKET_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((BUCKET_BOUNDS_MS[middle] as number) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A percentile of `count` durations by their buckets, interpolated within its bucket and never above the largest duration seen. */
export function percentileOf(counts: ArrayLike<number>, count: number, maxMs: number, fraction: number): number {
  if (count === 0) return 0;
  const rank = fraction * count;
  let below = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    const inBucket = counts[bucket] as number;
    if (inBucket > 0 && below + inBucket >= rank) {
      const from = bucket === 0 ? 0 : (BUCKET_BOUNDS_MS[bucket - 1] as number);
      const to = Math.min(BUCKET_BOUNDS_MS[bucket] ?? maxMs, maxMs);
      return Math.min(from + ((to - from) * (rank - below)) / inBucket, maxMs);
    }
    below += inBucket;
  }
  return maxMs;
}

/** Durations counted in fixed buckets: recording is a binary search and three additions. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKET_BOUNDS_MS.length + 1);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;
  #exemplars: (Exemplar | undefined)[] | undefined = undefined;

  /** Counts one duration, in milliseconds; `span`: in which it was measured, where that is recorded. */
  record(ms: number, span?: SpanRef): void {
    const bucket = bucketOf(ms);
    (this.#counts[bucket] as number)++;
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
    if (span !== undefined) this.#exemplify(bucket, ms, span);
  }

  #exemplify(bucket: number, ms: number, { traceId, spanId }: SpanRef): void {
    this.#exemplars ??= Array.from<Exemplar | undefined>({ length: BUCKET_BOUNDS_MS.length + 1 });
    this.#exemplars[bucket] = { traceId, spanId, ms, at: Date.now() };
  }

  /** How many durations were counted. */
  get count(): number {
    return this.#count;
  }

  /** Their sum, in milliseconds. */
  get sumMs(): number {
    return this.#sumMs;
  }

  /** A copy of the counts. */
  snapshot(): HistogramSnapshot {
    const exemplars = this.#exemplars;
    return {
      boundsMs: BUCKET_BOUNDS_MS,
      counts: Array.from(this.#counts),
      count: this.#count,
      sumMs: this.#sumMs,
      ...(exemplars === undefined ? undefined : { exemplars: [...exemplars] }),
    };
  }

  /** Percentiles, interpolated within their bucket and never above the largest duration seen. */
  percentiles(): Percentiles {
    return {
      count: this.#count,
      sumMs: this.#sumMs,
      meanMs: this.#count === 0 ? 0 : this.#sumMs / this.#count,
      p50: this.#percentile(0.5),
      p95: this.#percentile(0.95),
      p99: this.#percentile(0.99),
      max: this.#maxMs,
    };
  }

  #percentile(fraction: number): number {
    return percentileOf(this.#counts, this.#count, this.#maxMs, fraction);
  }
}
