/** The stable name of a finding. */
export type AdviceCode =
  | 'POOL_EXCEEDS_SERVER'
  | 'STALE_CONNECTION_RISK'
  | 'POOL_PER_REQUEST'
  | 'SAME_DATABASE_TWICE'
  | 'POOL_TOO_SMALL'
  | 'POOL_TOO_LARGE'
  | 'IDLE_IN_TRANSACTION'
  | 'LEAK_SUSPECTED'
  | 'READ_ONLY_SERVER'
  | 'TWO_PRIMARIES'
  | 'REPLICAS_UNFIT'
  | 'FLEET_OVER_BUDGET'
  | 'NO_SHUTDOWN_HOOKS';

/** Each of them: one that is left out doesn't compile. */
const EVERY_ADVICE_CODE: Readonly<Record<AdviceCode, true>> = {
  POOL_EXCEEDS_SERVER: true,
  STALE_CONNECTION_RISK: true,
  POOL_PER_REQUEST: true,
  SAME_DATABASE_TWICE: true,
  POOL_TOO_SMALL: true,
  POOL_TOO_LARGE: true,
  IDLE_IN_TRANSACTION: true,
  LEAK_SUSPECTED: true,
  READ_ONLY_SERVER: true,
  TWO_PRIMARIES: true,
  REPLICAS_UNFIT: true,
  FLEET_OVER_BUDGET: true,
  NO_SHUTDOWN_HOOKS: true,
};
export const ADVICE_CODES = Object.keys(EVERY_ADVICE_CODE) as readonly AdviceCode[];

/** How much a finding matters. */
export type AdviceSeverity = 'info' | 'warning' | 'error';

/** A plain value in an advice's evidence. */
export type EvidenceValue = string | number | boolean | readonly string[];

/** One finding, in words and in plain data. */
export interface Advice {
  readonly code: AdviceCode;
  readonly severity: AdviceSeverity;
  /** The name of the pool or client that it is about; of the first one where it is about several. */
  readonly pool: string;
  /** What was found, and what to do about it. */
  readonly message: string;
  /** The figures behind it. */
  readonly evidence: Readonly<Record<string, EvidenceValue>>;
}

const SEVERITIES: readonly AdviceSeverity[] = ['error', 'warning', 'info'];

/** The worst first. */
export function bySeverity(one: Advice, other: Advice): number {
  return SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity);
}

/** `1 connection`, `2 connections`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** A duration for people. */
export function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
