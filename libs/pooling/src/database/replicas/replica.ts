import type { Clock } from '../../core/clock.js';
import type { Holder } from '../../core/holders.js';
import type { Pool } from '../../core/pool.js';
import type { CloseReport } from '../../core/pool-options.js';
import type { PostgresConnection } from '../connection/connection.js';
import type { DatabaseLeases } from '../database-leases.js';
import type { HostsStatistics } from '../hosts/host-statistics.js';
import { nameOfHost, type HostTarget } from '../options/host-options.js';
import type { SingleQueries } from '../query/single-queries.js';
import { askWithin, tellsNoPosition, TIMELINE } from './asking.js';
import { leaseWithin } from './lease-within.js';
import { includes, parseLsn, type LogPosition } from './position.js';

/** What a replica's own pool is made of. */
export interface ReplicaParts {
  readonly clock: Clock;
  readonly engine: Pool<PostgresConnection>;
  readonly leases: DatabaseLeases;
  readonly queries: SingleQueries;
  /** Dials where no connection is open, and fails with that dial. */
  readonly ping: { ping(timeoutMs: number): Promise<unknown>; poolClosed(): void };
  /** What dials have found out; `undefined`: any server will do. */
  readonly hosts: { statistics(): HostsStatistics } | undefined;
  /** Its part in a budget; `undefined`: it has none. */
  readonly budget: { leave(): void } | undefined;
}

/** A replica that is down is looked at again after twice as long each time, up to this, in milliseconds. */
const LONGEST_REST_MS = 5_000;

/** How long a replica may take to say how it is, a dial included, in milliseconds. */
const LOOK_MS = 2_000;

const QUESTION = `select pg_is_in_recovery() as standby, pg_last_wal_replay_lsn()::text as replayed,
  (extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::float8::text as ago,
  ${TIMELINE}::text as timeline`;

/** Of a server that doesn't tell where it is in the log. */
const LESSER_QUESTION = 'select pg_is_in_recovery() as standby';

interface Answer {
  readonly standby: unknown;
  readonly replayed?: unknown;
  readonly ago?: unknown;
  readonly timeline?: unknown;
}

/** One host that is read from: its pool, and what is known of its server. */
export class Replica {
  readonly target: HostTarget;
  /** `name:port`. */
  readonly host: string;
  readonly parts: ReplicaParts;
  /** Where it was in the log when it was looked at last; `undefined`: it doesn't tell. */
  position: LogPosition | undefined = undefined;
  /** Whether what it was asked for last had arrived: then it is asked together with the query. */
  keepsUp = true;
  /** When it was looked at last, on the clock's scale. */
  lookedAt = -Infinity;
  /** How often it has failed in succession. */
  #failures = 0;
  /** What it was when it was last known to be something. */
  #was: 'primary' | 'standby' | undefined = undefined;
  #state: 'up' | 'down' | 'unknown' = 'unknown';
  #standby: boolean | undefined = undefined;
  /** When the last transaction was committed that it has replayed, on the clock's scale. */
  #committedAt: number | undefined = undefined;
  #looking: Promise<void> | undefined = undefined;
  /** What connections have shown to have replayed: no server goes back behind that while it runs. */
  readonly #shown = new WeakMap<PostgresConnection, LogPosition>();

  constructor(target: HostTarget, parts: ReplicaParts) {
    this.target = target;
    this.host = nameOfHost(target);
    this.parts = parts;
  }

  get state(): 'up' | 'down' | 'unknown' {
    return this.#state;
  }

  get role(): 'primary' | 'standby' | undefined {
    return this.#standby === undefined ? undefined : this.#standby ? 'standby' : 'primary';
  }

  /** Whether it may be read from, however far behind it is. */
  get serves(): boolean {
    return this.#state === 'up' && this.#standby === true;
  }

  /** How much it has to do: connections in use, and those who wait for one. */
  get busy(): number {
    const { open, idle, waiting } = this.parts.engine;
    return open - idle + waiting;
  }

  /** How long ago the last transaction was committed that it has replayed, in milliseconds. */
  replayedAgo(now: number): number | undefined {
    return this.#committedAt === undefined ? undefined : Math.max(0, now - this.#committedAt);
  }

  /** Whether it was a standby, and is a primary now. */
  get promoted(): boolean {
    return this.#was === 'standby' && this.role === 'primary';
  }

  /** How long after a look the next one is worth it, where looks are so far apart and a primary is looked at more rarely. */
  #restMs(lookMs: number, primaryMs: number): number {
    if (this.#failures > 0) return Math.min(LONGEST_REST_MS, lookMs * 2 ** this.#failures);
    return this.role === 'primary' ? primaryMs : 0;
  }

  /** Whether a look at it is worth the dial. */
  isDue(now: number, lookMs: number, primaryMs: number): boolean {
    return now - this.lookedAt >= this.#restMs(lookMs, primaryMs);
  }

  /** Something is wrong with it: it isn't read from before it was looked at again. */
  suspect(): void {
    if (this.#state === 'up') this.#state = 'unknown';
  }

  /** A look at it, or the one that is under way. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { clock, engine, leases, ping } = this.parts;
    if (this.role !== undefined) this.#was = this.role;
    // The outcome of one dial tells; an acquire would wait for the next ones as well.
    const reached =
      engine.open > 0 ||
      (await ping.ping(LOOK_MS).then(
        () => true,
        () => false,
      ));
    const lease = reached ? await leaseWithin(this.parts, LOOK_MS, { use: 'own' }) : undefined;
    if (lease === undefined) {
      // Where borrowers have all of them, their own answers speak for it.
      if (!this.#saturated) this.#failed();
    } else {
      try {
        this.#found(await this.#ask(lease.connection));
      } catch {
        this.#failed();
      } finally {
        leases.giveBack(lease);
      }
    }
    this.lookedAt = clock.now();
  }

  get #saturated(): boolean {
    const { clock, engine } = this.parts;
    const { lastVerifiedAt } = engine.report;
    return engine.open >= engine.max && lastVerifiedAt !== undefined && clock.now() - lastVerifiedAt <= LOOK_MS;
  }

  async #ask(connection: PostgresConnection): Promise<Answer> {
    try {
      return (await askWithin(connection, QUESTION, LOOK_MS)).rows[0] as Answer;
    } catch (error) {
      if (!tellsNoPosition(error)) throw error;
      return (await askWithin(connection, LESSER_QUESTION, LOOK_MS)).rows[0] as Answer;
    }
  }

  #failed(): void {
    // One that is no standby is refused when it is dialled, and isn't down for that.
    const [dialled] = this.parts.hosts?.statistics().states ?? [];
    const misfit = dialled?.role === 'primary' && dialled.connections === 0;
    this.#state = misfit ? 'up' : 'down';
    this.#standby = misfit ? false : undefined;
    this.#failures = misfit ? 0 : this.#failures + 1;
  }

  #found({ standby, replayed, ago, timeline }: Answer): void {
    const lsn = parseLsn(replayed);
    this.#failures = 0;
    this.#state = 'up';
    this.#standby = standby === true;
    this.position = lsn === undefined ? undefined : { lsn, timeline: Number(timeline) };
    const agoMs = Number(ago ?? Number.NaN);
    this.#committedAt = Number.isFinite(agoMs) ? this.parts.clock.now() - agoMs : undefined;
  }

  /** Ends its pool. Never rejects. */
  async close(deadlineMs: number): Promise<CloseReport> {
    const { budget, engine, ping } = this.parts;
    const closed = engine.close(deadlineMs);
    ping.poolClosed();
    budget?.leave();
    const report = await closed;
    return { ...report, destroyed: report.destroyed.map(this.#named) };
  }

  /** Who holds connections to it. */
  holders(): Holder[] {
    return this.parts.engine.holders().map(this.#named);
  }

  readonly #named = (holder: Holder): Holder => ({ ...holder, replica: this.host });

  /** Whether a connection is known to lead to where what was written before `needed` is. */
  hasShown(connection: PostgresConnection, needed: LogPosition): boolean {
    return includes(this.#shown.get(connection), needed);
  }

  /** What a connection has answered to `replayQuestion`; returns whether it includes what is needed. */
  shows(connection: PostgresConnection, row: unknown, needed: LogPosition): boolean {
    const { standby, replayed, timeline } = row as Answer;
    const lsn = parseLsn(replayed);
    if (standby !== true) {
      this.#standby = false;
      return false;
    }
    if (lsn === undefined) return false;
    const known = this.#shown.get(connection)?.timeline ?? 0;
    const position = { lsn, timeline: timeline === undefined ? known : Number(timeline) };
    // Behind a pooler the next query may meet another server.
    if (!connection.session.pooled) this.#shown.set(connection, position);
    return includes(position, needed);
  }

  /** What a connection has to be asked, to know whether its server has what was written before `needed`. */
  replayQuestion(connection: PostgresConnection, needed: LogPosition): string {
    const known = this.#shown.get(connection)?.timeline ?? 0;
    const timeline = known >= needed.timeline ? '' : `, ${TIMELINE}::text as timeline`;
    return `select pg_is_in_recovery() as standby, pg_last_wal_replay_lsn()::text as replayed${timeline}`;
  }
}
