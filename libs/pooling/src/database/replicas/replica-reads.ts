import type { QueryResult } from 'pg';
import type { AcquireOrigin } from '../../core/acquire-origin.js';
import type { EngineAcquireOptions } from '../../core/pool-options.js';
import type { CloseReason } from '../../core/statistics.js';
import { pause, within } from '../../core/within.js';
import type { DatabaseLease } from '../database-lease.js';
import type { DatabaseLeases, Lender } from '../database-leases.js';
import type { QueryText } from '../query/query-forms.js';
import type { SingleQueries } from '../query/single-queries.js';
import type { QueryTraces } from '../query/query-traces.js';
import { isLostConnection } from '../server-errors.js';
import { askWithin } from './asking.js';
import { leaseWithin } from './lease-within.js';
import type { Needed } from './pool-writes.js';
import type { LogPosition } from './position.js';
import type { Replica } from './replica.js';
import type { ReplicaSet } from './replica-set.js';

/** Between two questions whether a replica has got there, in milliseconds: doubled each time, up to the second. */
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 16;

/** What reads from replicas need of the pool whose they are. */
export interface ReplicaReadsHost {
  readonly set: ReplicaSet;
  /** The primary's. */
  readonly leases: DatabaseLeases;
  /** A question behind a read may take as long as the read itself, in milliseconds. */
  readonly queryTimeoutMs: number;
  /** What a read that is made now must see, found out within a time. */
  needed(limitMs: number): Needed | Promise<Needed>;
}

/** One statement that only reads, so that it may be run twice. */
export interface RepeatableRead {
  readonly text: QueryText;
  readonly values: unknown[];
  /** Tells tracers what is known of it. */
  learn(traces: QueryTraces): void;
}

/** A connection to a replica. */
interface Found {
  readonly replica: Replica;
  readonly lease: DatabaseLease;
  /** Whether it had to be waited for. */
  readonly waited: boolean;
}

/** A read's way to a replica, or the decision that the primary has to do it. */
class Search {
  readonly tried = new Set<Replica>();
  readonly needed: LogPosition | undefined;
  /** When waiting is over, on the clock's scale. */
  readonly deadline: number;

  constructor(needed: LogPosition | undefined, deadline: number) {
    this.needed = needed;
    this.deadline = deadline;
  }
}

type Outcome = { readonly result: QueryResult; readonly waited: boolean } | 'behind' | 'lost';

/**
 * Reads from replicas: from one that is up, not too far behind, and shows what the request has written; from the primary
 * where there is none.
 */
export class ReplicaReads {
  readonly #host: ReplicaReadsHost;
  readonly #set: ReplicaSet;
  /** Whose leases those of replicas are. */
  readonly #owners = new WeakMap<DatabaseLease, DatabaseLeases>();

  constructor(host: ReplicaReadsHost) {
    this.#host = host;
    this.#set = host.set;
  }

  /**
   * Runs a statement on a replica, and on another one when it is lost with that; `undefined`: the primary has to run it.
   *
   * @throws the server's error.
   */
  async run(read: RepeatableRead): Promise<QueryResult | undefined> {
    const search = await this.#begin();
    while (search !== undefined) {
      const found = await this.#lease(search, ({ parts }) => optionsOf(parts.queries, read));
      if (found === undefined) break;
      const outcome = await this.#read(found, search, read);
      if (outcome === 'behind') break;
      if (outcome === 'lost') continue;
      this.#set.reads[outcome.waited ? 'waited' : 'replica']++;
      return outcome.result;
    }
    this.#set.reads.primary++;
    return undefined;
  }

  /** Leases a connection to a replica that shows what the request has written, or to the primary where there is none. */
  async acquire(options: EngineAcquireOptions = {}): Promise<DatabaseLease> {
    const search = await this.#begin();
    while (search !== undefined) {
      const found = await this.#lease(search, () => options);
      if (found === undefined) break;
      const { replica, lease } = found;
      const reached = await this.#reaches(found, search);
      if (reached !== 'behind' && reached !== 'lost') {
        this.#set.reads[found.waited || reached === 'later' ? 'waited' : 'replica']++;
        this.#owners.set(lease, replica.parts.leases);
        return lease;
      }
      replica.parts.leases.giveBack(lease);
      if (reached === 'behind') break;
    }
    this.#set.reads.primary++;
    return await this.#host.leases.acquire(options);
  }

  /** In a test, everything runs on the one connection that it has of the primary. */
  get lender(): Lender | undefined {
    return this.#host.leases.lender;
  }

  /** Who calls now, as far as that is kept. */
  get origin(): AcquireOrigin {
    return this.#host.leases.origin;
  }

  /** The borrower of a lease, of a replica or of the primary, has sent the end of its transaction. */
  handOn(lease: DatabaseLease): void {
    (this.#owners.get(lease) ?? this.#host.leases).handOn(lease);
  }

  /** Ends a lease, of a replica or of the primary. */
  giveBack(lease: DatabaseLease, error?: Error | boolean, reason?: CloseReason): void {
    (this.#owners.get(lease) ?? this.#host.leases).giveBack(lease, error, reason);
  }

  /** `undefined`: the primary has to do it. */
  async #begin(): Promise<Search | undefined> {
    if (this.lender !== undefined) return undefined;
    const { clock, options } = this.#set;
    const deadline = clock.now() + options.waitMs;
    const looking = this.#set.use();
    if (looking !== undefined) await within(clock, options.waitMs, looking);
    const needed = await this.#host.needed(options.waitMs);
    return needed === 'primary' ? undefined : new Search(needed, deadline);
  }

  async #lease(
    { tried, needed, deadline }: Search,
    optionsFor: (replica: Replica) => EngineAcquireOptions,
  ): Promise<Found | undefined> {
    for (;;) {
      const replica = this.#set.pick(tried, needed);
      if (replica === undefined) return undefined;
      tried.add(replica);
      const { parts } = replica;
      const options = optionsFor(replica);
      const ready = options.signal?.aborted === true ? undefined : parts.leases.tryAcquire(options.use ?? 'held');
      if (ready !== undefined) return { replica, lease: ready, waited: false };
      // A connection that is only checked first isn't waited for.
      const waited = parts.engine.idle === 0;
      const lease = await leaseWithin(parts, Math.max(0, deadline - this.#set.clock.now()), options);
      if (lease !== undefined) return { replica, lease, waited };
      // Not a single connection could be had: nobody else should wait for one.
      if (parts.engine.open === 0) replica.suspect();
    }
  }

  async #read(found: Found, search: Search, read: RepeatableRead): Promise<Outcome> {
    const { replica, lease, waited } = found;
    const { needed } = search;
    const { connection } = lease;
    if (needed === undefined || replica.hasShown(connection, needed)) {
      return await this.#answerOf(replica, waited, runOn(found, read));
    }
    if (replica.keepsUp && connection.runner.asksAlong) {
      const outcome = await this.#readAlong(found, needed, read);
      if (outcome !== 'behind') return outcome;
      // It has answered, and isn't there yet: from now on it is asked before.
      replica.keepsUp = false;
      const leftMs = Math.max(0, search.deadline - this.#set.clock.now());
      const again = await leaseWithin(replica.parts, leftMs, optionsOf(replica.parts.queries, read));
      if (again === undefined) return 'behind';
      return await this.#readWhenReached({ replica, lease: again, waited: true }, search, read);
    }
    return await this.#readWhenReached(found, search, read);
  }

  /** Asks how far the server is and reads in one flight: what was read counts if the server was there before. */
  async #readAlong(found: Found, needed: LogPosition, read: RepeatableRead): Promise<Outcome> {
    const { replica, lease, waited } = found;
    const { connection } = lease;
    const question = replica.replayQuestion(connection, needed);
    let shown = false;
    connection.runner.ask(question, this.#host.queryTimeoutMs, (error, result) => {
      shown = error === undefined && replica.shows(connection, result.rows[0], needed);
    });
    const outcome = await this.#answerOf(replica, waited, runOn(found, read)).catch((error: unknown) => ({ error }));
    if (outcome === 'lost') return 'lost';
    if (!shown) return 'behind';
    if (typeof outcome === 'object' && 'error' in outcome) throw outcome.error;
    return outcome;
  }

  async #readWhenReached(found: Found, search: Search, read: RepeatableRead): Promise<Outcome> {
    const { replica, lease } = found;
    const reached = await this.#reaches(found, search);
    if (reached === 'behind' || reached === 'lost') {
      replica.parts.leases.giveBack(lease);
      return reached;
    }
    replica.keepsUp = reached === 'at once';
    return await this.#answerOf(replica, found.waited || reached === 'later', runOn(found, read));
  }

  async #answerOf(replica: Replica, waited: boolean, answer: Promise<QueryResult>): Promise<Outcome> {
    try {
      return { result: await answer, waited };
    } catch (error) {
      if (!isLostConnection(error)) throw error;
      replica.suspect();
      return 'lost';
    }
  }

  /** Waits until the server of a connection shows what is needed, within the time for it. */
  async #reaches(
    { replica, lease }: Found,
    { needed, deadline }: Search,
  ): Promise<'at once' | 'later' | 'behind' | 'lost'> {
    const { connection } = lease;
    const { clock } = this.#set;
    if (needed === undefined || replica.hasShown(connection, needed)) return 'at once';
    for (let pauseMs = 0; ; pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * pauseMs))) {
      const leftMs = deadline - clock.now();
      if (pauseMs > 0) {
        if (leftMs <= 0 || !replica.serves) return 'behind';
        await pause(clock, Math.min(pauseMs, leftMs));
      }
      try {
        const question = replica.replayQuestion(connection, needed);
        const { rows } = await askWithin(connection, question, this.#host.queryTimeoutMs);
        if (replica.shows(connection, rows[0], needed)) return pauseMs === 0 ? 'at once' : 'later';
      } catch {
        replica.suspect();
        return 'lost';
      }
    }
  }
}

/** A read leases a connection as a single query of its pool does. */
function optionsOf(queries: SingleQueries, { text }: RepeatableRead): EngineAcquireOptions {
  return { use: queries.useOf(text) };
}

/** Runs a read on the connection that was found for it, and gives that back. */
function runOn({ replica, lease }: Found, { text, values, learn }: RepeatableRead): Promise<QueryResult> {
  const { queries } = replica.parts;
  learn(queries.traces);
  return queries.runOn(lease, text, values);
}
