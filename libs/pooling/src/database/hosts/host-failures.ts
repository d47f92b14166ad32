import type { DialFailure } from '../../core/connector.js';
import { describeCause } from '../../core/errors.js';
import { nameOfHost, type HostTarget } from '../options/host-options.js';
import { stepOf } from '../options/dial-step.js';

/** The longest pause before the next dial when hosts answer and none fits, in milliseconds: a promotion is soon over. */
export const PAUSE_FOR_PROMOTION_MS = 500;

/** What ends a dial, because no other host would help: password, authorisation, database, permission. */
const ENDS_DIAL = new Set(['28P01', '28000', '3D000', '42501']);

/** Whether another host would fail in the same way: by the server's answer, or because the server isn't at fault. */
export function endsDial(error: unknown): boolean {
  if (stepOf(error) !== undefined) return true;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && ENDS_DIAL.has(code);
}

/** A host that answered and doesn't fit. */
export class MisfitError extends Error {}

/** Why there is no connection to one host. */
export interface HostFailure {
  readonly host: HostTarget;
  readonly error: Error;
}

/** There is no connection to any of several hosts: the message names each one, and why. */
export class HostsError extends AggregateError {
  readonly failures: readonly HostFailure[];

  constructor(failures: readonly HostFailure[]) {
    super(
      failures.map(({ error }) => error),
      failures.map((failure) => `${nameOfHost(failure.host)} ${reasonOf(failure)}`).join('; '),
    );
    this.failures = failures;
  }

  /** Whether a server answered that doesn't fit. */
  get answered(): boolean {
    return this.failures.some(({ error }) => error instanceof MisfitError);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: 'hung up',
  EPIPE: 'hung up',
  ENOTFOUND: 'is a name that doesn’t exist',
  ENODATA: 'is a name without an address',
  EAI_AGAIN: 'is a name that can’t be looked up now',
  ENOENT: 'has no such socket',
  '57P03': 'is starting up, shutting down or recovering',
  '57P01': 'is shutting down',
  '53300': 'has no connection left',
};

function reasonOf({ error }: HostFailure): string {
  if (error instanceof MisfitError) return error.message;
  // Every address of the name was tried.
  const one = error instanceof AggregateError ? (error.errors.at(-1) as Error) : error;
  const { code } = one as { code?: unknown };
  const known = typeof code === 'string' ? REASONS[code] : undefined;
  return known ?? (code === 'ETIMEDOUT' ? one.message : `failed: ${describeCause(one)}`);
}

/**
 * What the failure of all hosts means. Waiting may heal it, unless it heals none of the hosts' failures.
 *
 * @param isPermanent - whether waiting doesn't heal the failure of one host.
 */
export function explainHosts(error: HostsError, isPermanent: (host: HostTarget, error: Error) => boolean): DialFailure {
  if (error.answered) {
    return {
      permanent: false,
      longestPauseMs: PAUSE_FOR_PROMOTION_MS,
      advice: 'No host is what targetSessionAttrs asks for: promote one, or ask for less.',
    };
  }
  const permanent = error.failures.every(({ host, error: each }) => isPermanent(host, each));
  return { permanent, advice: 'None of the hosts can be connected to.' };
}
