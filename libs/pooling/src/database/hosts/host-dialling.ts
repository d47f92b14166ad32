import type { Clock } from '../../core/clock.js';
import type { HostTarget, LoadBalanceHosts } from '../options/host-options.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import { addressesOf, shuffleWith, type Shuffle } from './addresses.js';
import { HostAttempt, type AttemptHost, type Found } from './host-attempt.js';
import { endsDial, HostsError, MisfitError, type HostFailure } from './host-failures.js';
import { HostList } from './host-list.js';
import { HostRound } from './host-round.js';
import { HostStates } from './host-states.js';
import { fitOf, misfit, type ServerFacts } from './server-facts.js';

/** What is kept of a dial's time, so that its error says which hosts were tried, in milliseconds, and as a share. */
const KEPT_MS = 100;
const KEPT_SHARE = 0.05;

/** A connection that has logged in, by what is known of its server. */
export interface HostConnection {
  /** What its server has told. */
  readonly facts: ServerFacts;
  close(politely: boolean): Promise<void>;
}

/** How one address is dialled. */
export type DialAddress<Connection> = AttemptHost<Connection>['dial'];

type HostOptions = Pick<
  ResolvedDatabaseOptions,
  'hosts' | 'findHosts' | 'targetSessionAttrs' | 'loadBalanceHosts' | 'hostRecheckMs' | 'connectTimeoutMs'
>;

/**
 * Opens connections where there are several hosts: in order, each with its share of the dial's time, until one is what is
 * wanted. When there is reason to believe that the hosts have changed their parts, all of them are asked at once, once for
 * the whole pool.
 */
export class HostDialling<Connection extends HostConnection> {
  readonly states: HostStates;
  readonly #clock: Clock;
  readonly #options: HostOptions;
  readonly #list: HostList;
  readonly #shuffle: Shuffle | undefined;
  #suspect = false;
  #noneFits = false;
  #probing: Promise<unknown> | undefined = undefined;

  /** @param isInUse - whether there are connections to a host, which is what is wanted. */
  constructor(
    clock: Clock,
    options: HostOptions,
    random: () => number,
    isInUse: (host: HostTarget) => boolean = () => false,
  ) {
    const { hosts, findHosts, targetSessionAttrs, hostRecheckMs } = options;
    this.#clock = clock;
    this.#options = options;
    this.#list = new HostList(clock, hosts, findHosts, hostRecheckMs);
    this.states = new HostStates(clock, targetSessionAttrs, hostRecheckMs, isInUse);
    this.#shuffle = shuffleOf(options.loadBalanceHosts, random);
  }

  /** Whether hosts answered the last dial, and none of them was what is wanted. */
  get noneFits(): boolean {
    return this.#noneFits;
  }

  /** Whether the next dial asks all hosts at once. */
  get suspect(): boolean {
    return this.#suspect;
  }

  /** The hosts as they are known now. */
  get hosts(): readonly HostTarget[] {
    return this.#list.known;
  }

  /** The hosts may have changed their parts: the next dial asks all of them at once. */
  suspectHosts(): void {
    this.#suspect = true;
  }

  /** The hosts, asked for again where a function gives them and its answer is old. */
  hostsNow(): Promise<readonly HostTarget[]> {
    return this.#list.current();
  }

  /** Whether one of the first choice can be connected to: of the hosts that aren't known to be one, each is asked. */
  async lookForFirst(dial: DialAddress<Connection>): Promise<boolean> {
    const how = this.#howToDial(dial);
    const { connectTimeoutMs } = this.#options;
    const unknown = this.#list.known.filter((host) => this.states.of(host) === undefined);
    const { signal } = new AbortController();
    const looks = unknown.map(async (host) => {
      try {
        how.close((await this.#attempt(host, how, connectTimeoutMs, signal)).connection);
      } catch {
        // What it failed with is noted.
      }
    });
    await Promise.all(looks);
    return this.#list.known.some((host) => this.states.isFirst(host));
  }

  /**
   * Opens a connection to a host that is what is wanted.
   *
   * @throws a `HostsError` that names every host and why not, what ends every dial, or the signal's reason.
   */
  async open(dial: DialAddress<Connection>, signal: AbortSignal): Promise<Connection> {
    const { connectTimeoutMs } = this.#options;
    const deadline = this.#clock.now() + connectTimeoutMs - Math.min(KEPT_MS, connectTimeoutMs * KEPT_SHARE);
    await this.#probing;
    signal.throwIfAborted();
    const hosts = await this.#list.current();
    signal.throwIfAborted();
    const tried = this.states.ordered(this.#shuffle?.(hosts) ?? hosts, this.#shuffle !== undefined);
    const how = this.#howToDial(dial);
    try {
      const probes = this.#suspect && this.#probing === undefined && tried.length > 1;
      const found = await (probes
        ? this.#probe(tried, how, deadline, signal)
        : this.#oneAfterTheOther(tried, how, deadline, signal));
      this.#suspect = false;
      this.#noneFits = false;
      return found;
    } catch (error) {
      this.#suspect = true;
      if (error instanceof HostsError) this.#noneFits = error.answered;
      throw error;
    }
  }

  #howToDial(dial: DialAddress<Connection>): AttemptHost<Connection> {
    const { targetSessionAttrs } = this.#options;
    return {
      clock: this.#clock,
      addresses: (host) => addressesOf(host, this.#shuffle),
      dial,
      fit: (host, { facts }) => {
        this.states.told(host, facts);
        return fitOf(targetSessionAttrs, facts);
      },
      misfit: ({ facts }) => misfit(targetSessionAttrs, facts),
      close: (connection) => void connection.close(true),
    };
  }

  async #oneAfterTheOther(
    hosts: readonly HostTarget[],
    how: AttemptHost<Connection>,
    deadline: number,
    signal: AbortSignal,
  ): Promise<Connection> {
    const failures: HostFailure[] = [];
    let second: Connection | undefined;
    for (const [at, host] of hosts.entries()) {
      // Whoever has a second choice doesn't wait for what is dead, or is known to be no better.
      if (second !== undefined && this.states.isNoBetter(host)) continue;
      const share = (deadline - this.#clock.now()) / (hosts.length - at);
      try {
        const found = await this.#attempt(host, how, share, signal);
        if (found.fit === 'first') {
          if (second !== undefined) how.close(second);
          return found.connection;
        }
        if (second === undefined) second = found.connection;
        else how.close(found.connection);
      } catch (error) {
        if (signal.aborted || endsDial(error)) {
          if (second !== undefined) how.close(second);
          throw error;
        }
        failures.push({ host, error: error as Error });
      }
    }
    if (second !== undefined) return second;
    throw new HostsError(failures);
  }

  /** Asks every host at once; who dials meanwhile waits for the verdict. */
  async #probe(
    hosts: readonly HostTarget[],
    how: AttemptHost<Connection>,
    deadline: number,
    signal: AbortSignal,
  ): Promise<Connection> {
    const round = new HostRound<Connection>(
      {
        clock: this.#clock,
        attempt: (host, limitMs, stop) => this.#attempt(host, how, limitMs, stop),
        close: (connection) => how.close(connection),
      },
      hosts,
    );
    const verdict = round.run(deadline - this.#clock.now(), signal);
    this.#probing = verdict;
    try {
      return await verdict;
    } finally {
      this.#probing = undefined;
    }
  }

  async #attempt(
    host: HostTarget,
    how: AttemptHost<Connection>,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Found<Connection>> {
    try {
      return await new HostAttempt(how, host).run(Math.max(1, limitMs), signal);
    } catch (error) {
      if (!signal.aborted && !endsDial(error) && !(error instanceof MisfitError)) this.states.failed(host, error);
      throw error;
    }
  }
}

function shuffleOf(balance: LoadBalanceHosts, random: () => number): Shuffle | undefined {
  return balance === 'random' ? shuffleWith(random) : undefined;
}
