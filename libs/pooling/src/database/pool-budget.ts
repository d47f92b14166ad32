import type { Clock } from '../core/clock.js';
import type { OutsideLimit } from '../core/outside-limit.js';
import type { Pool } from '../core/pool.js';
import { refuseProblems } from '../core/validation.js';
import type { PostgresConnection } from './connection/connection.js';
import { budgetProblems, leaveFleet, memberOf, type MembershipOptions } from './fleet/fleet-members.js';
import type { BudgetedPool, FleetMember, FleetStatistics, Visit } from './fleet/fleet-member.js';
import { fleetName } from './fleet/published-name.js';
import { nameOfHost, type FindHosts } from './options/host-options.js';
import type { ResolvedDatabaseOptions } from './options/options.js';

/** The server takes no more clients. */
const TOO_MANY_CONNECTIONS = '53300';

/** What a pool's budget needs of the pool. */
export interface PoolBudgetHost {
  readonly clock: Clock;
  /** 0 ≤ number < 1; for jitter. */
  readonly random: () => number;
  readonly engine: () => Pool<PostgresConnection>;
  /** Whether a connection goes to the server that the budget counts on. */
  isPresent(connection: PostgresConnection): boolean;
  /** The budget is off from now on. */
  off(reason: string): void;
}

/** Each function that gives hosts may lead to another server. */
const found = new WeakMap<FindHosts, number>();
let functions = 0;

/** What all pools to one server, as one role, have in common: several hosts have one that takes writes, in whatever order. */
function serverOf({ hosts, findHosts, target }: ResolvedDatabaseOptions): string {
  if (findHosts === undefined) return JSON.stringify([hosts.map(nameOfHost).sort(), target.user]);
  let number = found.get(findHosts);
  if (number === undefined) found.set(findHosts, (number = ++functions));
  return JSON.stringify([number, target.user]);
}

/** A pool's part in a budget that it shares with other processes and with other pools of its own process. */
export class PoolBudget implements BudgetedPool {
  readonly #host: PoolBudgetHost;
  readonly #membership: MembershipOptions;
  readonly #member: FleetMember;
  #left = false;

  private constructor(host: PoolBudgetHost, membership: MembershipOptions) {
    this.#host = host;
    this.#membership = membership;
    this.#member = memberOf(membership);
  }

  /**
   * Makes one; `undefined`: the pool has no budget.
   *
   * @throws `ERR_POOL_OPTIONS_INVALID` where another pool of this process has another budget for the same server.
   */
  static of(options: ResolvedDatabaseOptions, host: PoolBudgetHost): PoolBudget | undefined {
    const { applicationName, budget, name } = options;
    if (budget === undefined) return undefined;
    const membership = {
      server: serverOf(options),
      fleet: fleetName(applicationName),
      plain: applicationName,
      budget,
      clock: host.clock,
      random: host.random,
    };
    refuseProblems(name, budgetProblems(membership));
    return new PoolBudget(host, membership);
  }

  /** Takes part from now on. */
  join(): void {
    this.#member.join(this);
  }

  /** What is known of the fleet. */
  get statistics(): FleetStatistics {
    return this.#member.statistics;
  }

  /** A dial has ended: with an error, or well. */
  dialled(error: unknown): void {
    if (error === undefined) return this.#member.opened();
    const { code } = error as { code?: unknown };
    if (code === TOO_MANY_CONNECTIONS) this.#member.full();
  }

  /** A connection's socket is gone. */
  removed(connection: PostgresConnection): void {
    this.#member.closed(connection);
  }

  /** Connections go to another one of several hosts from now on. */
  moved(): void {
    this.#member.moved();
  }

  /** The pool closes: others may have its part as soon as its connections are gone. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    leaveFleet(this.#membership, this.#member, this);
  }

  get #outside(): OutsideLimit<PostgresConnection> {
    return this.#host.engine().outside;
  }

  get used(): number {
    return this.#outside.used;
  }

  get open(): number {
    return this.#host.engine().open;
  }

  get most(): number {
    return this.#outside.most;
  }

  get wanted(): number {
    return this.#outside.wanted;
  }

  limit(ceiling: number): void {
    this.#outside.set(ceiling);
  }

  visit(visit: Visit): void {
    this.#outside.visit((connection) => visit(connection, () => this.#host.isPresent(connection)));
  }

  off(reason: string): void {
    this.#host.off(reason);
  }
}
