import type { Clock, Timer } from '../../core/clock.js';
import { reservedBy, type FleetTerms } from './claim.js';
import type { FleetView } from './fleet-view.js';
import { look, RENAME, type FleetConnection } from './look.js';
import { PoolShares, type FleetPool } from './pool-shares.js';
import { instanceName, publishedName, type Publication } from './published-name.js';
import { Standing } from './standing.js';

/** Demand is sampled this often between two looks. One such interval after a claim, or a failure, comes the next look. */
const TICKS_PER_CHECK = 8;

/** A process of the fleet, as the server shows it. */
export interface FleetProcess {
  /** The id in the names of its connections, behind the name of the application. */
  readonly id: string;
  /** Connections that the server counts. */
  readonly connections: number;
  /** Connections that it may have, or claims. */
  readonly held: number;
  /** Connections that it would use if it could; `undefined`: it hasn't published yet. */
  readonly wanted: number | undefined;
}

/** What a process knows of its fleet. */
export interface FleetStatistics {
  /** `starting`: before the first look. `off`: the processes can't see each other, and the pool goes by its own options. */
  readonly state: 'starting' | 'on' | 'off';
  /** Why it is off. */
  readonly reason?: string;
  /** `connections` of the options. */
  readonly budget: number;
  /** The id of this process in the fleet. */
  readonly id: string;
  /** What the pools of this process may have together. */
  readonly ceiling: number;
  /** Processes that the last look has found. */
  readonly processes: number;
  /** Connections of all of them, and of those that have the same name and no budget. */
  readonly connections: number;
  /** Each process that the last look has found. */
  readonly members: readonly FleetProcess[];
}

/**
 * What is done with a connection.
 *
 * @param isPresent - whether it goes to the server that the budget counts on, by what the server has told up to now: of
 * several hosts the one that takes the pool's writes.
 */
export type Visit = (connection: FleetConnection, isPresent: () => boolean) => Promise<void>;

/** A pool that has a part in the budget. */
export interface BudgetedPool extends FleetPool {
  /** Runs something on an idle connection, or on the next one that comes back. */
  visit(visit: Visit): void;
  /** The budget is off from now on. */
  off(reason: string): void;
}

/** What a member of a fleet is made with. */
export interface FleetMemberOptions extends FleetTerms {
  readonly checkMs: number;
  /** The beginning of the names of all processes of the fleet. */
  readonly fleet: string;
  /** The name of the application's connections that have no budget. */
  readonly plain: string;
  readonly id: string;
  readonly clock: Clock;
  /** 0 ≤ number < 1; for jitter. */
  readonly random: () => number;
}

/**
 * A process among those that share a budget: looks who else is there, publishes what it has, wants and claims, and limits
 * the pools of this process to what it may have.
 */
export class FleetMember {
  readonly options: FleetMemberOptions;
  readonly #shares = new PoolShares<BudgetedPool>();
  readonly #standing: Standing;
  #view: FleetView | undefined = undefined;
  #off: string | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #lookDueAt = -Infinity;
  #looking: 'no' | 'waits for a connection' | 'under way' = 'no';
  /** Whether the next look is an early one, which confirms a claim. */
  #again = false;
  /** The connection that carries the publication. */
  #publisher: FleetConnection | undefined = undefined;
  /** Others can't see any more what was published. */
  #unseen = false;

  constructor(options: FleetMemberOptions) {
    this.options = options;
    this.#standing = new Standing(options.id, options);
  }

  /** Whether no pool is left. */
  get deserted(): boolean {
    return this.#shares.count === 0;
  }

  /** What is known. */
  get statistics(): FleetStatistics {
    const { connections: budget, id, min } = this.options;
    const processes = this.#view?.processes ?? [];
    const total = processes.reduce((sum, { connections }) => sum + connections, this.#view?.unmanaged ?? 0);
    return {
      state: this.#off === undefined ? (this.#view === undefined ? 'starting' : 'on') : 'off',
      ...(this.#off === undefined ? undefined : { reason: this.#off }),
      budget,
      id,
      ceiling: this.#off === undefined ? this.#standing.ceiling : this.#shares.most,
      processes: processes.length,
      connections: total,
      members: processes.map((process) => ({
        id: process.id,
        connections: process.connections,
        held: reservedBy(process, min),
        wanted: process.publication?.wanted,
      })),
    };
  }

  /** One more pool of this process. */
  join(pool: BudgetedPool): void {
    this.#shares.add(pool);
    if (this.#off === undefined) this.#share();
    else this.#shares.free();
  }

  /** A pool is closed. */
  leave(pool: BudgetedPool): void {
    this.#shares.remove(pool);
    if (this.deserted) this.#rest();
    else if (this.#off === undefined) this.#share();
  }

  /** A pool has opened a connection: the first one looks at once, and the next one where others know nothing any more. */
  opened(): void {
    if (this.#off !== undefined || (this.#timer !== undefined && !this.#unseen)) return;
    if (this.#timer === undefined) this.#plan();
    this.#look();
  }

  /**
   * A connection is gone: with it perhaps what others know of this process. What they can see then are the connections that
   * are open, and none that is being opened, and those become fewer when a server dies.
   */
  closed(connection: FleetConnection): void {
    if (this.#off !== undefined) return;
    if (this.#publisher === connection) this.#forget(this.#shares.open);
    else if (this.#unseen) this.#fewer(this.#shares.open);
  }

  /** A pool's connections go to another server from now on, where nobody knows of this process. */
  moved(): void {
    if (this.#off !== undefined) return;
    this.#view = undefined;
    this.#forget(0);
  }

  #forget(visible: number): void {
    this.#publisher = undefined;
    this.#unseen = true;
    this.#again = true;
    this.#fewer(visible);
    this.#look();
  }

  #fewer(visible: number): void {
    this.#standing.unseen(visible);
    this.#share();
  }

  /**
   * The server has no room for a further connection: the open ones are the ceiling until a look finds room. Without an open one
   * the pool goes on dialling.
   */
  full(): void {
    const { open } = this.#shares;
    if (this.#off !== undefined || open === 0) return;
    this.#standing.full(open);
    this.#share();
  }

  #share(): void {
    this.#shares.share(Math.max(this.#standing.ceiling, this.#shares.count));
  }

  #plan(): void {
    const { checkMs, clock } = this.options;
    this.#timer = clock.setBackgroundTimeout(this.#tick, checkMs / TICKS_PER_CHECK);
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    const { used, wanted } = this.#shares;
    if (used === 0) return this.#rest();
    this.#plan();
    this.#standing.demand(wanted);
    if (this.#shares.count > 1) this.#share();
    // A look that still waits for a connection is asked for again: pools may have come and gone.
    if (this.#looking !== 'no' || this.options.clock.now() >= this.#lookDueAt) this.#look();
  };

  /** Without a connection nobody sees this process: it starts again with the next one. */
  #rest(): void {
    const { clock } = this.options;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#looking !== 'under way') this.#looking = 'no';
    this.#publisher = undefined;
    this.#unseen = false;
    this.#lookDueAt = -Infinity;
    this.#standing.unseen(0);
    if (!this.deserted) this.#share();
  }

  /** Looks on the first connection that is idle or comes back. */
  #look(): void {
    if (this.#looking === 'under way') return;
    this.#looking = 'waits for a connection';
    for (const pool of this.#shares.pools) pool.visit(this.#visit);
  }

  readonly #visit: Visit = async (connection, isPresent) => {
    // Another pool had a connection earlier.
    if (this.#looking !== 'waits for a connection' || this.#off !== undefined) return;
    this.#looking = 'under way';
    const { checkMs, clock, random } = this.options;
    const now = clock.now();
    const soon = now + checkMs / TICKS_PER_CHECK;
    // A look that fails changes nothing but the time of the next one.
    this.#lookDueAt = soon;
    try {
      const claimed = await this.#lookOn(connection, isPresent);
      if (claimed === undefined) return;
      this.#again = claimed;
      this.#lookDueAt = claimed ? soon : now + checkMs * (0.75 + random() * 0.5);
    } catch (error) {
      if (!connection.alive) throw error;
    } finally {
      this.#looking = 'no';
    }
  };

  /** Returns whether something was claimed; `undefined`: what was seen counts for nothing. */
  async #lookOn(connection: FleetConnection, isPresent: () => boolean): Promise<boolean | undefined> {
    const { fleet, plain } = this.options;
    const sight = await look(connection, fleet, plain);
    if (!isPresent()) return undefined;
    if ('blind' in sight) {
      this.#turnOff(sight.blind);
      return false;
    }
    const { used, most, wanted } = this.#shares;
    this.#standing.demand(wanted);
    const verdict = this.#standing.looked(sight.view, { used, most, again: this.#again });
    if (!verdict.visible) {
      this.#turnOff('something changes application_name');
      return false;
    }
    this.#view = sight.view;
    this.#share();
    if (verdict.publication !== undefined) await this.#publish(connection, verdict.publication);
    return verdict.held > Math.max(verdict.ceiling, used);
  }

  async #publish(connection: FleetConnection, publication: Publication): Promise<void> {
    const { fleet, id } = this.options;
    const name = publishedName(instanceName(fleet, id), publication);
    await connection.run(RENAME, [name]);
    this.#publisher = connection;
    this.#unseen = false;
    connection.carry(name);
    this.#standing.tell(publication);
  }

  #turnOff(reason: string): void {
    this.#off = reason;
    this.#rest();
    this.#shares.free();
    for (const pool of this.#shares.pools) pool.off(reason);
  }
}
