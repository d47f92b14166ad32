import type { TargetSessionAttrs } from '../options/host-options.js';

/** The role of a server, as it reported it. */
export interface ServerFacts {
  /** Whether it replays the log of another server. */
  readonly standby: boolean;
  /** Whether its sessions are read-only by default: on a standby, or where `default_transaction_read_only` is on. */
  readonly readOnly: boolean;
}

/** How well a server fits: `second` where another kind is preferred. */
export type Fit = 'first' | 'second' | 'none';

/** How well a server fits `targetSessionAttrs`: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS */
export function fitOf(wanted: TargetSessionAttrs, { standby, readOnly }: ServerFacts): Fit {
  switch (wanted) {
    case 'any':
      return 'first';
    case 'read-write':
      return readOnly ? 'none' : 'first';
    case 'read-only':
      return readOnly ? 'first' : 'none';
    case 'primary':
      return standby ? 'none' : 'first';
    case 'standby':
      return standby ? 'first' : 'none';
    case 'prefer-standby':
      return standby ? 'first' : 'second';
    case 'prefer-primary':
      return standby ? 'second' : 'first';
  }
}

/** Whether a pool with this `targetSessionAttrs` expects to write. */
export function wantsWrites(wanted: TargetSessionAttrs): boolean {
  return wanted === 'read-write' || wanted === 'primary' || wanted === 'prefer-primary';
}

/** Why a server doesn't fit, in words that follow its name. */
export function misfit(wanted: TargetSessionAttrs, { standby, readOnly }: ServerFacts): string {
  const is = standby ? 'is a standby' : readOnly ? 'takes no writes by default' : 'is a primary';
  return `${is} and ${wanted} is wanted`;
}
