import { BUCKET_BOUNDS_MS, Histogram } from './histogram.js';

describe('Histogram', () => {
  it('gives zeros while it is empty', () => {
    expect(new Histogram().percentiles()).toEqual({ count: 0, sumMs: 0, meanMs: 0, p50: 0, p95: 0, p99: 0, max: 0 });
  });

  it('counts a duration in the bucket whose upper bound it does not exceed', () => {
    const histogram = new Histogram();
    for (const ms of [0, 0.1, 0.11, 1, 120_000, 120_001]) histogram.record(ms);
    const { counts, count, sumMs } = histogram.snapshot();
    expect(counts).toHaveLength(BUCKET_BOUNDS_MS.length + 1);
    expect(counts[0]).toBe(2);
    expect(counts[1]).toBe(1);
    expect(counts[BUCKET_BOUNDS_MS.indexOf(1)]).toBe(1);
    expect(counts.at(-2)).toBe(1);
    expect(counts.at(-1)).toBe(1);
    expect(count).toBe(6);
    expect(sumMs).toBeCloseTo(240_002.21);
  });

  it('estimates percentiles within the width of a bucket', () => {
    const histogram = new Histogram();
    for (let ms = 1; ms <= 1_000; ms++) histogram.record(ms);
    const { p50, p95, p99, max, meanMs } = histogram.percentiles();
    expect(p50).toBeGreaterThan(400);
    expect(p50).toBeLessThan(600);
    expect(p95).toBeGreaterThan(900);
    expect(p99).toBeLessThanOrEqual(1_000);
    expect(max).toBe(1_000);
    expect(meanMs).toBe(500.5);
  });

  it('never gives a percentile above the largest duration it saw', () => {
    const histogram = new Histogram();
    for (let count = 0; count < 10; count++) histogram.record(0.3);
    expect(histogram.percentiles().p99).toBeLessThanOrEqual(0.3);
  });
});
