import type { Clock } from '../../core/clock.js';
import { nameOfHost, type HostTarget, type TargetSessionAttrs } from '../options/host-options.js';
import { fitOf, type ServerFacts } from './server-facts.js';

/** What is known of one host, with the time when it was found out. */
interface HostState {
  readonly at: number;
  /** `undefined`: it is dead. */
  readonly facts: ServerFacts | undefined;
}

/**
 * How many times `hostRecheckMs` a host is believed to be superseded: in between it is asked again, and takes writes again
 * when the one that has taken over doesn't any more.
 */
const BELIEVED_FOR = 2;

/** Too many clients: the server lives and has no room. PgBouncer's own refusal has the code of a protocol violation. */
function hasNoRoom(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === '53300' || (code === '08P01' && /no more connections/i.test(String(message)));
}

/**
 * What a pool knows of its hosts: their roles, and which are dead. It is believed for a while, and only changes the order in
 * which hosts are dialled: none is left out. pgjdbc's `GlobalHostStatusTracker`, for one pool.
 */
export class HostStates {
  readonly #clock: Clock;
  readonly #wanted: TargetSessionAttrs;
  readonly #recheckMs: number;
  readonly #isInUse: (host: HostTarget) => boolean;
  readonly #states = new Map<string, HostState>();
  /** Hosts that take writes though another one has taken over, with its name and the time when that was found out. */
  readonly #superseded = new Map<string, { readonly at: number; readonly by: string }>();

  /** @param isInUse - whether there are connections to a host, and it fits. */
  constructor(
    clock: Clock,
    wanted: TargetSessionAttrs,
    recheckMs: number,
    isInUse: (host: HostTarget) => boolean = () => false,
  ) {
    this.#isInUse = isInUse;
    this.#clock = clock;
    this.#wanted = wanted;
    this.#recheckMs = recheckMs;
  }

  /** A server has told what it is. */
  told(host: HostTarget, facts: ServerFacts): void {
    this.#states.set(nameOfHost(host), { at: this.#clock.now(), facts });
  }

  /** A host couldn't be connected to. */
  failed(host: HostTarget, error: unknown): void {
    if (hasNoRoom(error)) return;
    this.#states.set(nameOfHost(host), { at: this.#clock.now(), facts: undefined });
  }

  /** Hosts that take writes though another one has taken over; those that were it before aren't any more. */
  supersede(hosts: readonly HostTarget[], by: HostTarget): void {
    this.#superseded.clear();
    for (const host of hosts) this.#superseded.set(nameOfHost(host), { at: this.#clock.now(), by: nameOfHost(by) });
  }

  /** The name of the host that has taken over from one that takes writes still; `undefined`: none has. */
  supersededBy(host: HostTarget): string | undefined {
    const found = this.#superseded.get(nameOfHost(host));
    return found === undefined || this.#clock.now() - found.at >= BELIEVED_FOR * this.#recheckMs ? undefined : found.by;
  }

  /** The role that a host had last, or `'dead'`; `undefined`: nothing is known, or it is too old. */
  of(host: HostTarget): ServerFacts | 'dead' | undefined {
    const state = this.#states.get(nameOfHost(host));
    if (state === undefined || this.#clock.now() - state.at >= this.#recheckMs) return undefined;
    return state.facts ?? 'dead';
  }

  /**
   * The hosts in the order in which they are to be tried: those that fit, the unknown, those that don't, the dead.
   *
   * @param balanced - whether unknown hosts are as good as those that fit: otherwise the first one found would get all.
   */
  ordered(hosts: readonly HostTarget[], balanced: boolean): HostTarget[] {
    const rank = (host: HostTarget): number => Math.max(this.#rank(host), balanced ? 1 : 0);
    return [...hosts].sort((one, other) => rank(one) - rank(other));
  }

  /** Whether a host is believed to be no better than a server of the second choice. */
  isNoBetter(host: HostTarget): boolean {
    return this.#rank(host) > 1;
  }

  /** Whether a host is believed to be of the first choice. */
  isFirst(host: HostTarget): boolean {
    return this.#rank(host) === 0;
  }

  #rank(host: HostTarget): number {
    const state = this.of(host);
    if (this.supersededBy(host) !== undefined) return 3;
    // The present primary stays first when an old one is back and stands before it in the list.
    if (state === undefined) return this.#isInUse(host) ? 0 : 1;
    if (state === 'dead') return 4;
    return { first: 0, second: 2, none: 3 }[fitOf(this.#wanted, state)];
  }
}
