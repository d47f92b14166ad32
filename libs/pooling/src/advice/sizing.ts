/** What {@link recommendPoolSize} is told. */
export interface PoolSizeEstimate {
  /** Requests that the application serves at the same time; above 0. */
  readonly concurrentRequests: number;
  /** Queries that a request makes, one after the other; above 0. */
  readonly queriesPerRequest: number;
  /** A factor on top; above 0, 1.5 by default. */
  readonly headroom?: number | undefined;
}

/**
 * The quick formula for a first guess: `ceil(concurrentRequests / queriesPerRequest × headroom)`. A request does other things
 * between its queries, so that queries of many requests seldom run at the same time. With measured figures
 * {@link sizeForLoad} gives a better answer.
 *
 * ```ts
 * recommendPoolSize({ concurrentRequests: 100, queriesPerRequest: 3 }); // 50
 * ```
 *
 * @throws RangeError when a number is not above 0.
 */
export function recommendPoolSize(estimate: PoolSizeEstimate): number {
  const { concurrentRequests, queriesPerRequest, headroom = 1.5 } = estimate;
  requirePositive({ concurrentRequests, queriesPerRequest, headroom });
  // Multiplied first: 100 / 3 * 1.5 is a little more than 50 in floating point.
  return Math.max(1, Math.ceil((concurrentRequests * headroom) / queriesPerRequest));
}

/** A load on a pool, and how long its acquires may wait. */
export interface LoadTarget {
  /** Acquires that arrive in a second; 0 or more. */
  readonly acquiresPerSecond: number;
  /** For how long a connection is held, on average, in milliseconds; 0 or more. */
  readonly meanUseMs: number;
  /** The longest wait that is acceptable, in milliseconds; 0 or more. */
  readonly waitTargetMs: number;
  /** The share of acquires that must meet the target: between 0 and 1, 0.99 by default. */
  readonly percentile?: number | undefined;
}

/** A pool that meets a {@link LoadTarget}, and what to expect of it. */
export interface LoadSize {
  /** Connections. */
  readonly size: number;
  /** The share of time in which a connection is in use: 0 to 1. */
  readonly utilisation: number;
  /** Connections in use on average: the load in erlangs (Little's law). */
  readonly meanInUse: number;
  /** The share of acquires that wait at all: 0 to 1. */
  readonly waitProbability: number;
  /** The mean wait over all acquires, in milliseconds. */
  readonly meanWaitMs: number;
  /** The wait at the target's percentile, in milliseconds. */
  readonly waitMs: number;
}

/** A higher load is taken for a mistake in the units. */
const MAX_ERLANGS = 1_000_000;

/**
 * The smallest pool whose waiting time stays within the target: M/M/c, Erlang C. Arrivals are taken as independent and
 * times of use as exponentially distributed: steadier ones wait less, and a few very long ones among many short wait longer.
 *
 * The blocking probability is computed by the recursion B(c) = aB(c−1) / (c + aB(c−1)), which neither overflows nor
 * cancels (https://en.wikipedia.org/wiki/Erlang_(unit)), for every size up to the answer: a thousand connections take
 * some microseconds.
 *
 * ```ts
 * sizeForLoad({ acquiresPerSecond: 400, meanUseMs: 20, waitTargetMs: 10 }).size; // 13
 * ```
 *
 * @throws RangeError when a number is out of its range, or the load is over a million connections.
 */
export function sizeForLoad(load: LoadTarget): LoadSize {
  const { acquiresPerSecond, meanUseMs, waitTargetMs, percentile = 0.99 } = load;
  requireNotNegative({ acquiresPerSecond, meanUseMs, waitTargetMs });
  if (!(percentile > 0 && percentile < 1))
    throw new RangeError(`percentile must be between 0 and 1, got ${percentile}`);
  const erlangs = (acquiresPerSecond * meanUseMs) / 1000;
  if (erlangs > MAX_ERLANGS) throw new RangeError(`a load of ${erlangs} connections is too much`);
  let blocking = 1;
  for (let size = 1; ; size++) {
    blocking = (erlangs * blocking) / (size + erlangs * blocking);
    if (size <= erlangs) continue;
    const expected = expectWaits(size, erlangs, blocking, meanUseMs, percentile);
    if (expected.waitMs <= waitTargetMs) return expected;
  }
}

/** What to expect of a pool of a given size under a load; `undefined` when the load is more than it can carry. */
export function expectLoad(size: number, load: Omit<LoadTarget, 'waitTargetMs'>): LoadSize | undefined {
  const { acquiresPerSecond, meanUseMs, percentile = 0.99 } = load;
  const erlangs = (acquiresPerSecond * meanUseMs) / 1000;
  if (erlangs >= size) return undefined;
  let blocking = 1;
  for (let servers = 1; servers <= size; servers++) blocking = (erlangs * blocking) / (servers + erlangs * blocking);
  return expectWaits(size, erlangs, blocking, meanUseMs, percentile);
}

/** Erlang C from Erlang B, and the waits that follow from it; `size` is above `erlangs`. */
function expectWaits(size: number, erlangs: number, blocking: number, meanUseMs: number, percentile: number): LoadSize {
  const spare = size - erlangs;
  const waitProbability = (size * blocking) / (size - erlangs * (1 - blocking));
  // P(wait > t) = C(c, a) · e^(−(c − a)t / s): solved for t at the percentile.
  const tail = waitProbability / (1 - percentile);
  return {
    size,
    utilisation: erlangs / size,
    meanInUse: erlangs,
    waitProbability,
    meanWaitMs: (waitProbability * meanUseMs) / spare,
    waitMs: tail <= 1 ? 0 : (Math.log(tail) * meanUseMs) / spare,
  };
}

function requirePositive(values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!(value > 0 && value < Infinity)) throw new RangeError(`${name} must be above 0, got ${value}`);
  }
}

function requireNotNegative(values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!(value >= 0 && value < Infinity)) throw new RangeError(`${name} must be 0 or more, got ${value}`);
  }
}
