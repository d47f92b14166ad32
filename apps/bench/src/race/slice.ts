/** One candidate's short turn. Times in milliseconds. */
export interface Slice {
  /** Operations that ended within the turn. */
  readonly operations: number;
  readonly elapsedMs: number;
  /** CPU time of the candidate's own process; `undefined` where the system doesn't tell. */
  readonly clientCpuMs: number | undefined;
  /** CPU time of the server's processes that worked for it. */
  readonly serverCpuMs: number | undefined;
  /** CPU time that others used meanwhile, as a share of all CPUs: 0 to 1. */
  readonly foreignShare: number;
  /** Latencies; `undefined` where they aren't known one by one. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** What a candidate came to over all its slices: medians, and the rates from the lower to the upper quartile. */
export interface Summary {
  readonly perSecond: number;
  readonly lowPerSecond: number;
  readonly highPerSecond: number;
  readonly clientMicroseconds: number | undefined;
  readonly serverMicroseconds: number | undefined;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  /** Slices that others disturbed little enough to be used, and all of them. */
  readonly quietSlices: number;
  readonly slices: number;
  /** Whether too few slices were quiet, so that the disturbed ones are used as well. */
  readonly disturbed: boolean;
}

/** A slice during which others used more than this share of the machine isn't used. */
const QUIET_SHARE = 0.3;
/** With fewer quiet slices than this, all are used and the result is marked. */
const FEWEST_QUIET = 2;

/** The value in the middle, or at another fraction of the sorted values, interpolated. `NaN` of nothing. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(at)] ?? NaN;
  const above = sorted[Math.ceil(at)] ?? NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function medianOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}

/** Sums slices up. */
export function summarise(slices: readonly Slice[]): Summary {
  const quiet = slices.filter((slice) => slice.foreignShare <= QUIET_SHARE);
  const disturbed = quiet.length < Math.min(FEWEST_QUIET, slices.length);
  const used = (disturbed ? slices : quiet).filter((slice) => slice.operations > 0);
  const rates = used.map((slice) => (slice.operations / slice.elapsedMs) * 1_000);
  const perOperation = (cpuMs: number | undefined, slice: Slice): number | undefined =>
    cpuMs === undefined ? undefined : (cpuMs * 1_000) / slice.operations;
  return {
    perSecond: median(rates),
    lowPerSecond: quantile(rates, 0.25),
    highPerSecond: quantile(rates, 0.75),
    clientMicroseconds: medianOfKnown(used.map((slice) => perOperation(slice.clientCpuMs, slice))),
    serverMicroseconds: medianOfKnown(used.map((slice) => perOperation(slice.serverCpuMs, slice))),
    p50Ms: medianOfKnown(used.map((slice) => slice.p50Ms)),
    p99Ms: medianOfKnown(used.map((slice) => slice.p99Ms)),
    quietSlices: quiet.length,
    slices: slices.length,
    disturbed,
  };
}
