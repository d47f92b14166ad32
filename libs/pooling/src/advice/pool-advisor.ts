import { systemClock, type Clock } from '../core/clock.js';
import { bySeverity, type Advice } from './advice.js';
import { serverOf, type AdvisedDatabase, type AdvisedHttpClient } from './advised.js';
import { sameDatabaseTwice, staleConnectionRisk } from './configuration-findings.js';
import { fleetsOverBudget } from './fleet-findings.js';
import { bodiesLeaked, idleInTransaction, leakSuspected } from './holder-findings.js';
import { twoPrimaries } from './host-findings.js';
import { LeakHistory } from './leak-history.js';
import { LoadWatch, type PoolLoad } from './load.js';
import { poolTooLarge, poolTooSmall } from './load-findings.js';
import { PoolCensus } from './pool-census.js';
import { replicasUnfit } from './replica-findings.js';
import { poolsExceedServers, readOnlyServer } from './server-findings.js';
import { ServerWatch } from './server-watch.js';

/** What a {@link PoolAdvisor} looks at. */
export interface PoolAdvisorDependencies {
  /** The database pools that are in use, at any time. */
  readonly databases: () => Iterable<AdvisedDatabase>;
  /** The HTTP clients, at any time. */
  readonly httpClients?: () => Iterable<AdvisedHttpClient>;
  /** Whether a signal ends the application in order; left out: not known. */
  readonly hasShutdownHooks?: () => boolean;
  /** How many processes like this one share the servers; `undefined`: only what is connected now counts. */
  readonly replicas?: () => number | undefined;
  readonly clock?: Clock;
}

/** How full a server is. */
export interface ServerLoad {
  /** Clients that are connected, everybody's. */
  readonly clients: number;
  /** `max_connections` less what is reserved for superusers. */
  readonly capacity: number;
}

/**
 * Looks for the mistakes with pools that others have made before, in the configuration, on the server and under load.
 *
 * ```ts
 * @Injectable()
 * class NightlyReport {
 *   constructor(private readonly advisor: PoolAdvisor) {}
 *
 *   async run(): Promise<void> {
 *     for (const { severity, code, message } of await this.advisor.advise()) console.log(severity, code, message);
 *   }
 * }
 * ```
 */
export class PoolAdvisor {
  readonly #dependencies: PoolAdvisorDependencies;
  readonly #watch: LoadWatch;
  readonly #census: PoolCensus;
  readonly #leaks: LeakHistory;
  readonly #servers = new ServerWatch();
  #latest: readonly Advice[] = [];

  constructor(dependencies: PoolAdvisorDependencies) {
    const clock = dependencies.clock ?? systemClock;
    this.#dependencies = dependencies;
    this.#watch = new LoadWatch(dependencies.databases, clock);
    this.#census = new PoolCensus(clock);
    this.#leaks = new LeakHistory(clock);
  }

  /** Starts watching the load, and the making of pools. Nothing is asked of a server before {@link advise}. */
  start(): void {
    this.#watch.start();
    this.#census.start();
  }

  /** Stops watching. */
  stop(): void {
    this.#watch.stop();
    this.#census.stop();
  }

  /** The load of a database pool in the last minute; `undefined` before it was looked at twice. */
  load(pool: string): PoolLoad | undefined {
    return this.#watch.load(pool);
  }

  /** The size that a database pool's load calls for: `db_pool_recommended_size`. */
  recommendedSize(pool: string): number | undefined {
    return this.#watch.recommendedSize(pool);
  }

  /** How full the server of a database pool was when {@link advise} last asked it; `undefined` when it couldn't. */
  serverLoad(pool: AdvisedDatabase): ServerLoad | undefined {
    const row = this.#servers.latest(serverOf(pool));
    return row === undefined ? undefined : { clients: row.clients, capacity: row.maxConnections - row.reserved };
  }

  /** What {@link advise} found when it was last called. */
  get latest(): readonly Advice[] {
    return this.#latest;
  }

  /**
   * Looks at everything now, the worst first. Asks each server one question, on a connection that is open already, where
   * its pools were used since the last one.
   */
  async advise(): Promise<Advice[]> {
    const local = this.#local();
    const databases = [...this.#dependencies.databases()];
    await this.#servers.ask(databases);
    const exceeding = poolsExceedServers(databases, this.#servers, this.#dependencies.replicas?.());
    const advice = [...local, ...exceeding].sort(bySeverity);
    this.#latest = Object.freeze(advice);
    return [...advice];
  }

  #local(): Advice[] {
    const databases = [...this.#dependencies.databases()];
    const found: (Advice | undefined)[] = [
      ...sameDatabaseTwice(databases),
      ...fleetsOverBudget(databases),
      ...this.#census.findings(),
    ];
    for (const database of databases) {
      const holders = database.holders();
      found.push(
        staleConnectionRisk(database),
        readOnlyServer(database),
        twoPrimaries(database),
        replicasUnfit(database),
        idleInTransaction(database, holders),
        leakSuspected(database, holders),
        ...this.#ofLoad(database),
      );
    }
    for (const client of this.#dependencies.httpClients?.() ?? []) {
      found.push(bodiesLeaked(client, this.#leaks));
    }
    found.push(this.#noShutdownHooks(databases));
    return found.filter((advice) => advice !== undefined);
  }

  #ofLoad(database: AdvisedDatabase): (Advice | undefined)[] {
    const load = this.#watch.load(database.name);
    if (load === undefined) return [];
    const settled = this.#watch.settled(database.name);
    return [poolTooSmall(database, load), settled ? poolTooLarge(database, load) : undefined];
  }

  /** `NO_SHUTDOWN_HOOKS`: a SIGTERM would end the process in the middle of its requests. */
  #noShutdownHooks(databases: readonly AdvisedDatabase[]): Advice | undefined {
    if (this.#dependencies.hasShutdownHooks?.() !== false) return undefined;
    return {
      code: 'NO_SHUTDOWN_HOOKS',
      severity: 'warning',
      pool: databases[0]?.name ?? 'default',
      message:
        'A signal ends this process at once, with its requests and transactions: call app.enableShutdownHooks() before ' +
        'app.listen().',
      evidence: { shutdownHooks: false },
    };
  }
}
