import fc from 'fast-check';
import { SeededRandom } from '#test/support/random.js';
import { expectLoad, recommendPoolSize, sizeForLoad } from './sizing.js';

/** Plays customers through a first-come-first-served pool, and returns their waits in order of length, in milliseconds. */
function simulateWaits(size: number, acquiresPerSecond: number, meanUseMs: number, customers: number): number[] {
  const random = new SeededRandom(20_26).next;
  const exponential = (mean: number): number => -Math.log(1 - random()) * mean;
  const freeAt = Array.from({ length: size }, () => 0);
  const waits: number[] = [];
  let now = 0;
  for (let customer = 0; customer < customers; customer++) {
    now += exponential(1000 / acquiresPerSecond);
    let first = 0;
    for (let server = 1; server < size; server++) {
      if ((freeAt[server] as number) < (freeAt[first] as number)) first = server;
    }
    const startsAt = Math.max(now, freeAt[first] as number);
    freeAt[first] = startsAt + exponential(meanUseMs);
    waits.push(startsAt - now);
  }
  return waits.sort((one, other) => one - other);
}

describe('recommendPoolSize', () => {
  it('gives 50 for 100 concurrent requests of 3 queries', () => {
    expect(recommendPoolSize({ concurrentRequests: 100, queriesPerRequest: 3 })).toBe(50);
  });

  it('takes the headroom that it is given, rounds up, and never gives less than one connection', () => {
    expect(recommendPoolSize({ concurrentRequests: 10, queriesPerRequest: 3, headroom: 1 })).toBe(4);
    expect(recommendPoolSize({ concurrentRequests: 1, queriesPerRequest: 100 })).toBe(1);
  });

  it.each([{ concurrentRequests: 0 }, { queriesPerRequest: -1 }, { headroom: Number.NaN }, { headroom: Infinity }])(
    'refuses %o by name',
    (wrong) => {
      expect(() => recommendPoolSize({ concurrentRequests: 1, queriesPerRequest: 1, ...wrong })).toThrow(
        new RegExp(Object.keys(wrong)[0] as string),
      );
    },
  );
});

describe('sizeForLoad', () => {
  // M/M/2 at 1 erlang and M/M/3 at 2 are worked in every textbook (Gross & Harris, Fundamentals of Queueing Theory);
  // 14 agents at 10 erlangs is the worked example of callcentrehelper.com/erlang-c-formula-example-121281.htm.
  it.each([
    { size: 1, erlangs: 0.5, waitProbability: 0.5 },
    { size: 2, erlangs: 1, waitProbability: 0.3333 },
    { size: 3, erlangs: 2, waitProbability: 0.4444 },
    { size: 5, erlangs: 4, waitProbability: 0.5541 },
    { size: 10, erlangs: 8, waitProbability: 0.4092 },
    { size: 14, erlangs: 10, waitProbability: 0.1741 },
  ])('agrees with the published Erlang C tables: $size at $erlangs erlangs', ({ size, erlangs, waitProbability }) => {
    expect(expectLoad(size, { acquiresPerSecond: erlangs, meanUseMs: 1000 })?.waitProbability).toBeCloseTo(
      waitProbability,
      4,
    );
  });

  // The loads at which 1 % is lost, from the ITU's table of the Erlang loss formula.
  it.each([
    { size: 5, erlangs: 1.361 },
    { size: 10, erlangs: 4.461 },
    { size: 20, erlangs: 12.03 },
    { size: 50, erlangs: 37.9 },
    { size: 100, erlangs: 84.06 },
  ])('agrees with the published Erlang B tables: $size at $erlangs erlangs lose 1 %', ({ size, erlangs }) => {
    const { waitProbability } = expectLoad(size, { acquiresPerSecond: erlangs, meanUseMs: 1000 }) ?? fail();
    // Erlang C is B / (1 − ρ(1 − B)); turned round.
    const utilisation = erlangs / size;
    const blocking = (waitProbability * (1 - utilisation)) / (1 - utilisation * waitProbability);
    expect(blocking).toBeCloseTo(0.01, 4);
  });

  it.each([
    { acquiresPerSecond: 400, meanUseMs: 20, waitTargetMs: 20 },
    { acquiresPerSecond: 1000, meanUseMs: 5, waitTargetMs: 2 },
    { acquiresPerSecond: 50, meanUseMs: 200, waitTargetMs: 100 },
    { acquiresPerSecond: 2000, meanUseMs: 20, waitTargetMs: 5 },
  ])('agrees with a simulation of $acquiresPerSecond acquires a second held for $meanUseMs ms', (load) => {
    const sized = sizeForLoad(load);
    const waits = simulateWaits(sized.size, load.acquiresPerSecond, load.meanUseMs, 400_000);
    const waited = waits.filter((wait) => wait > 0).length / waits.length;
    const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
    expect(waited).toBeGreaterThan(sized.waitProbability * 0.85);
    expect(waited).toBeLessThan(sized.waitProbability * 1.15);
    expect(mean).toBeGreaterThan(sized.meanWaitMs * 0.8);
    expect(mean).toBeLessThan(sized.meanWaitMs * 1.2);
    const atPercentile = waits[Math.floor(waits.length * 0.99)] as number;
    expect(Math.abs(atPercentile - sized.waitMs)).toBeLessThan(load.meanUseMs * 0.1);
    const smaller = simulateWaits(sized.size - 1, load.acquiresPerSecond, load.meanUseMs, 400_000);
    expect(smaller[Math.floor(smaller.length * 0.99)] as number).toBeGreaterThan(load.waitTargetMs * 0.9);
  });

  it('always gives the smallest pool that meets the target', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.001, max: 5000, noNaN: true }),
        fc.double({ min: 0.001, max: 200, noNaN: true }),
        fc.double({ min: 0, max: 1000, noNaN: true }),
        fc.double({ min: 0.5, max: 0.9999, noNaN: true }),
        (acquiresPerSecond, meanUseMs, waitTargetMs, percentile) => {
          const sized = sizeForLoad({ acquiresPerSecond, meanUseMs, waitTargetMs, percentile });
          expect(sized.waitMs).toBeLessThanOrEqual(waitTargetMs);
          expect(sized.utilisation).toBeLessThan(1);
          expect(sized.waitProbability).toBeLessThanOrEqual(1);
          const smaller = expectLoad(sized.size - 1, { acquiresPerSecond, meanUseMs, percentile });
          expect(smaller?.waitMs ?? Infinity).toBeGreaterThan(waitTargetMs);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('stays finite for a hundred thousand connections and for next to nothing', () => {
    const large = sizeForLoad({ acquiresPerSecond: 1_000_000, meanUseMs: 100, waitTargetMs: 1 });
    expect(large.size).toBeGreaterThan(100_000);
    expect(large.size).toBeLessThan(101_500);
    expect(large.waitMs).toBeLessThanOrEqual(1);
    expect(sizeForLoad({ acquiresPerSecond: 1e-9, meanUseMs: 1e-9, waitTargetMs: 0 })).toMatchObject({
      size: 1,
      waitMs: 0,
    });
  });

  it('gives one connection when there is no load', () => {
    expect(sizeForLoad({ acquiresPerSecond: 0, meanUseMs: 0, waitTargetMs: 0 })).toEqual({
      size: 1,
      utilisation: 0,
      meanInUse: 0,
      waitProbability: 0,
      meanWaitMs: 0,
      waitMs: 0,
    });
  });

  it.each([
    { acquiresPerSecond: -1 },
    { meanUseMs: Number.NaN },
    { waitTargetMs: Infinity },
    { percentile: 1 },
    { percentile: 0 },
    { acquiresPerSecond: 1e9, meanUseMs: 1e9 },
  ])('refuses %o', (wrong) => {
    expect(() => sizeForLoad({ acquiresPerSecond: 1, meanUseMs: 1, waitTargetMs: 1, ...wrong })).toThrow(RangeError);
  });

  it('says that a pool which is smaller than the load can’t carry it', () => {
    expect(expectLoad(10, { acquiresPerSecond: 1000, meanUseMs: 10 })).toBeUndefined();
  });
});

function fail(): never {
  throw new Error('nothing is expected of it');
}
