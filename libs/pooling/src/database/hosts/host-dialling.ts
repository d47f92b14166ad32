import type { Clock } from '../../core/clock.js';
import { within } from '../../core/within.js';
import type { HostTarget, LoadBalanceHosts } from '../options/host-options.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import { addressesOf, shuffleWith, type Shuffle } from './addresses.js';
import { HostAttempt, type AttemptHost, type Found } from './host-attempt.js';
import { endsDial, HostsError, MisfitError, type HostFailure } from './host-failures.js';
import { HostList } from './host-list.js';
import { HostRound } from './host-round.js';
import { HostStates } from './host-states.js';
import { fitOf, misfit, type Fit, type ServerFacts } from './server-facts.js';

/** How much earlier than its deadline a dial ends, so that its own error names the hosts: in milliseconds, and as a share. */
const KEPT_MS = 100;
const KEPT_SHARE = 0.05;

/** A connection that has logged in. */
export interface HostConnection {
  /** The role of its server. */
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
 * Opens connections where there are several hosts: one host after the other, each within its share of the dial's time, until
 * one fits. When the hosts may have changed their roles, one dial of the pool asks all of them in parallel.
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

  /** @param isInUse - whether there are connections to a host, and it fits. */
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

  /** Whether hosts answered the last dial, and none of them fits. */
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

  /** The hosts may have changed their roles: the next dial asks all of them in parallel. */
  suspectHosts(): void {
    this.#suspect = true;
  }

  /** The hosts; a function that gives them is called again when its answer is old. */
  hostsNow(): Promise<readonly HostTarget[]> {
    return this.#list.current();
  }

  /** Whether a host of the first choice can be reached. Dials the hosts of which nothing is known. */
  async lookForFirst(dial: DialAddress<Connection>): Promise<boolean> {
    const how = this.#howToDial(dial);
    const { connectTimeoutMs } = this.#options;
    const unknown = this.#list.known.filter((host) => this.states.of(host) === undefined);
    const { signal } = new AbortController();
    const looks = unknown.map(async (host) => {
      try {
        how.close((await this.#attempt(host, how, connectTimeoutMs, signal)).connection);
      } catch {
        // The attempt has noted why.
      }
    });
    await Promise.all(looks);
    return this.#list.known.some((host) => this.states.isFirst(host));
  }

  /**
   * Opens a connection to a host that fits.
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

  /**
   * Does something with a connection of its own to a host, where that takes what the pool wants; `undefined`: it doesn't, or
   * something went wrong, or took as long as a dial may.
   */
  async visit<Result>(
    host: HostTarget,
    dial: DialAddress<Connection>,
    use: (connection: Connection) => Promise<Result>,
  ): Promise<Result | undefined> {
    const how = { ...this.#howToDial(dial), fit: this.#fit };
    const { signal } = new AbortController();
    try {
      const { connection, fit } = await this.#attempt(host, how, this.#options.connectTimeoutMs, signal);
      try {
        if (fit !== 'first') return undefined;
        const used = use(connection);
        return (await within(this.#clock, this.#options.connectTimeoutMs, used)) ? await used : undefined;
      } finally {
        how.close(connection);
      }
    } catch {
      // What the host failed with is noted.
      return undefined;
    }
  }

  /** What a host is, by a connection of its own; `undefined`: it can't be connected to. */
  async factsOf(host: HostTarget, dial: DialAddress<Connection>): Promise<ServerFacts | undefined> {
    let facts: ServerFacts | undefined;
    const how = { ...this.#howToDial(dial) };
    const judge = how.fit;
    how.fit = (target, connection) => {
      ({ facts } = connection);
      return judge(target, connection);
    };
    const { signal } = new AbortController();
    await this.#attempt(host, how, this.#options.connectTimeoutMs, signal).then(
      ({ connection }) => how.close(connection),
      () => undefined,
    );
    return facts;
  }

  /** Notes what a host has told, and judges it. */
  readonly #fit = (host: HostTarget, { facts }: Connection): Fit => {
    this.states.told(host, facts);
    return fitOf(this.#options.targetSessionAttrs, facts);
  };

  #howToDial(dial: DialAddress<Connection>): AttemptHost<Connection> {
    const { targetSessionAttrs } = this.#options;
    return {
      clock: this.#clock,
      addresses: (host) => addressesOf(host, this.#shuffle),
      dial,
      fit: (host, connection) => {
        const fit = this.#fit(host, connection);
        return this.states.supersededBy(host) === undefined ? fit : 'none';
      },
      misfit: (host, { facts }) => {
        const by = this.states.supersededBy(host);
        return by === undefined ? misfit(targetSessionAttrs, facts) : `is a primary of an older timeline than ${by}`;
      },
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
      // With a second choice at hand, a host that is dead or known to be no better isn't dialled.
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

  /** Asks all hosts in parallel; other dials wait for the outcome. */
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
