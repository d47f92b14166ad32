import { asNobody } from '../../core/async-context.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { CloseReport } from '../../core/pool-options.js';
import { HostList } from '../hosts/host-list.js';
import { nameOfHost, type HostTarget } from '../options/host-options.js';
import type { ResolvedDatabaseOptions, ResolvedReplicaOptions } from '../options/options.js';
import { optionsOfHost } from '../options/replica-options.js';
import { includes, type LogPosition } from './position.js';
import { PrimaryLog } from './primary-log.js';
import { Replica, type ReplicaParts } from './replica.js';
import { ReplicaLeases } from './replica-leases.js';
import type { ReplicasStatistics } from './replica-statistics.js';

/** Looks are this far apart at the most while replicas are read from, and at the least, in milliseconds. */
const RAREST_LOOK_MS = 1_000;
const MOST_FREQUENT_LOOK_MS = 100;
/** In how many parts the lag that is allowed is looked at. */
const LOOKS_PER_LAG = 10;
/** What was found longer ago than so many looks, and so many milliseconds, says nothing any more. */
const LOOKS_TO_TRUST = 4;
const TRUSTED_MS = 1_000;
/** How long the pools of hosts that are none any more may take to end, in milliseconds. */
const LEAVE_MS = 10_000;

/** What replicas need of the pool whose they are. */
export interface ReplicaSetHost {
  readonly clock: Clock;
  /** 0 ≤ number < 1; for the choice. */
  readonly random: () => number;
  /** Makes the parts of the pool of one host; `removed` is called when one of its connections is gone. */
  make(options: ResolvedDatabaseOptions, removed: () => void): ReplicaParts;
  /** Where the primary's log is now; `undefined`: it doesn't answer. Never rejects. */
  askPrimary(): Promise<LogPosition | undefined>;
  /** One of the replicas is a primary by now. */
  promoted(): void;
}

/**
 * The replicas of a pool: a pool for each host, and what is known of each. While they are read from they are looked at, and
 * so is the primary's log: who is up, and how far behind.
 */
export class ReplicaSet {
  readonly options: ResolvedReplicaOptions;
  /** Where reads went. */
  readonly reads = { replica: 0, waited: 0, primary: 0 };
  /** Who holds connections to them. */
  readonly leases = new ReplicaLeases(() => this.#replicas);
  readonly #host: ReplicaSetHost;
  readonly #list: HostList;
  readonly #log = new PrimaryLog();
  readonly #lookMs: number;
  #replicas: readonly Replica[] = [];
  #usedAt = -Infinity;
  /** When the primary was asked last. */
  #askedAt = -Infinity;
  #looking: Promise<void> | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #state: 'running' | 'draining' | 'closed' = 'running';

  constructor(options: ResolvedReplicaOptions, host: ReplicaSetHost) {
    const { maxLagMs, pool } = options;
    this.options = options;
    this.#host = host;
    this.#list = new HostList(host.clock, pool.hosts, pool.findHosts, pool.hostRecheckMs);
    this.#lookMs = Math.min(RAREST_LOOK_MS, Math.max(MOST_FREQUENT_LOOK_MS, maxLagMs / LOOKS_PER_LAG));
    this.#replicas = pool.hosts.map((target) => this.#replicaOf(target));
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  /** Every one of them, fit or not. */
  get all(): readonly Replica[] {
    return this.#replicas;
  }

  #replicaOf(target: HostTarget): Replica {
    const parts = this.#host.make(optionsOfHost(this.options.pool, target), () => {
      // A server that has lost all of its connections is asked before it is read from again.
      if (parts.engine.open === 0) replica.suspect();
    });
    const replica = new Replica(target, parts);
    return replica;
  }

  /** Opens what is kept ready, and looks who is there. */
  start(): void {
    for (const { parts } of this.#replicas) parts.leases.start();
    void this.look();
  }

  /** Whether what is known of the replicas is new enough; where it isn't, a look is under way, which can be waited for. */
  use(): Promise<void> | undefined {
    const now = this.#host.clock.now();
    this.#usedAt = now;
    const isKnown = (replica: Replica): boolean => this.#isTrusted(replica.lookedAt, now) || !this.#isDue(replica, now);
    if (!this.#isTrusted(this.#askedAt, now) || !this.#replicas.some(isKnown)) return this.look();
    this.#plan();
    return undefined;
  }

  #isDue(replica: Replica, now: number): boolean {
    return replica.isDue(now, this.#lookMs, this.options.pool.hostRecheckMs);
  }

  #isTrusted(at: number, now: number): boolean {
    return now - at < this.#lookMs * LOOKS_TO_TRUST + TRUSTED_MS;
  }

  /**
   * The one to read from: of two that are fit, drawn at random, the one with less to do; `undefined`: none is.
   *
   * @param needed - what it should have replayed: where one is known to have, the others are left out.
   * @see https://www.eecs.harvard.edu/~michaelm/postscripts/handbook2001.pdf The power of two choices.
   */
  pick(tried: ReadonlySet<Replica>, needed: LogPosition | undefined): Replica | undefined {
    const now = this.#host.clock.now();
    const fit = this.#replicas.filter((replica) => !tried.has(replica) && this.#isFit(replica, now));
    const ahead = needed === undefined ? [] : fit.filter(({ position }) => includes(position, needed));
    const among = ahead.length > 0 ? ahead : fit;
    if (among.length < 2) return among[0];
    const first = this.#draw(among.length);
    const second = (first + 1 + this.#draw(among.length - 1)) % among.length;
    const [one, other] = [among[first] as Replica, among[second] as Replica];
    return other.busy < one.busy ? other : one;
  }

  #draw(count: number): number {
    return Math.floor(this.#host.random() * count);
  }

  #isFit(replica: Replica, now: number): boolean {
    if (!replica.serves || !this.#isTrusted(replica.lookedAt, now)) return false;
    return this.#isNear(this.#lagMs(replica, now));
  }

  #isNear(lagMs: number | undefined): boolean {
    return lagMs === undefined || lagMs <= this.options.maxLagMs;
  }

  /** Where it was in the log; `undefined`: that isn't known, or was too long ago to tell how far behind it is now. */
  #replayed({ lookedAt, position, serves }: Replica, now: number): bigint | undefined {
    return serves && this.#isTrusted(lookedAt, now) ? position?.lsn : undefined;
  }

  #lagMs(replica: Replica, now: number): number | undefined {
    const replayed = this.#replayed(replica, now);
    return replayed === undefined ? undefined : this.#log.lagMs(replayed, now, replica.replayedAgo(now));
  }

  /**
   * A look at all of them and at the primary's log, or the one that is under way: until one is found that can be read from,
   * or all have been looked at. Never rejects.
   */
  look(): Promise<void> {
    if (this.#state === 'closed') return Promise.resolve();
    this.#looking ??= asNobody(this.#look).finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  readonly #look = async (): Promise<void> => {
    await this.#refresh();
    if (this.#state === 'closed') return;
    const first = this.#lookAtAll();
    await this.#lookAtPrimary();
    await first;
    this.#plan();
  };

  /** Resolves with the first that can be read from, or with the last. */
  #lookAtAll(): Promise<void> {
    return new Promise((resolve) => {
      let left = this.#replicas.length;
      for (const replica of this.#replicas) {
        void this.#lookAt(replica).then(() => {
          left--;
          if (replica.serves || left === 0) resolve();
        });
      }
    });
  }

  /** Never rejects. */
  async #lookAt(replica: Replica): Promise<void> {
    if (this.#isDue(replica, this.#host.clock.now())) {
      await replica.look();
      if (replica.promoted) this.#host.promoted();
    }
  }

  async #lookAtPrimary(): Promise<void> {
    const position = await this.#host.askPrimary();
    const now = this.#host.clock.now();
    if (position !== undefined) this.#log.note(position.lsn, now);
    this.#askedAt = now;
  }

  /** The hosts as they are now, where a function gives them. */
  async #refresh(): Promise<void> {
    const targets = await this.#list.current().catch(() => this.#list.known);
    const before = new Map(this.#replicas.map((replica) => [replica.host, replica]));
    const names = new Set(targets.map(nameOfHost));
    if (names.size === before.size && [...names].every((name) => before.has(name))) return;
    this.#replicas = targets.map((target) => before.get(nameOfHost(target)) ?? this.#replicaOf(target));
    for (const [name, replica] of before) if (!names.has(name)) this.leases.leave(replica, LEAVE_MS);
  }

  /** The next look: as long as they are read from. */
  #plan(): void {
    const { clock } = this.#host;
    if (this.#timer !== undefined || this.#state !== 'running') return;
    if (clock.now() - this.#usedAt > this.#lookMs * LOOKS_TO_TRUST) return;
    this.#timer = clock.setBackgroundTimeout(() => {
      this.#timer = undefined;
      void this.look();
    }, this.#lookMs);
  }

  #stop(): void {
    if (this.#timer !== undefined) this.#host.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  statistics(): ReplicasStatistics {
    const now = this.#host.clock.now();
    return {
      reads: { ...this.reads },
      states: this.#replicas.map((replica) => {
        const { open, idle } = replica.parts.engine;
        const { host, role, serves, state } = replica;
        const replayed = this.#replayed(replica, now);
        const lagMs = this.#lagMs(replica, now);
        return {
          host,
          role,
          state,
          lagMs,
          lagBytes: replayed === undefined ? undefined : this.#log.lagBytes(replayed),
          // One that nobody has looked at for a while is looked at by the next read.
          fit: serves && this.#isNear(lagMs),
          connections: open,
          inUse: open - idle,
        };
      }),
    };
  }

  /** Does the same with each of their pools. */
  each(act: (engine: ReplicaParts['engine']) => void): void {
    for (const { parts } of this.#replicas) act(parts.engine);
  }

  /** Still serves, but looks and opens nothing ahead of demand any more. */
  drain(): void {
    if (this.#state === 'running') this.#state = 'draining';
    this.#stop();
    this.each((engine) => engine.drain());
  }

  /** Ends them all. None rejects. */
  close(deadlineMs: number): Promise<CloseReport>[] {
    this.#state = 'closed';
    this.#stop();
    return this.#replicas.map((replica) => replica.close(deadlineMs));
  }
}
