import { systemClock, type Clock, type Timer } from '../core/clock.js';
import type { Holder } from '../core/holders.js';
import type { HttpClientStatistics } from '../http/pool/statistics.js';
import type { ConsoleDatabase, ConsoleHttpClient, ConsoleSource } from './console-source.js';
import { History } from './history.js';
import { databaseEvents, httpEvents, type PoolEvent } from './pool-events.js';
import {
  DATABASE_FIELDS,
  databaseSample,
  HTTP_FIELDS,
  httpSample,
  type DatabaseField,
  type DatabaseLook,
  type HttpField,
} from './samples.js';

/** Time between two looks, in milliseconds. */
export const LOOK_INTERVAL_MS = 1_000;
/** Ten minutes of looks. */
const KEPT_LOOKS = 600;
/** How many events are kept, and as many routine ones: closed overflow must not push leaks out. */
const KEPT_EVENTS = 150;

/** What is kept of one database pool. */
export interface DatabaseRecord {
  readonly history: History<DatabaseField>;
  look: DatabaseLook;
  sample: Record<DatabaseField, number>;
  leaked: ReadonlySet<number>;
}

/** What is kept of one HTTP client. */
export interface HttpRecord {
  readonly history: History<HttpField>;
  look: HttpClientStatistics;
  sample: Record<HttpField, number>;
}

/**
 * Looks at every pool once a second and keeps ten minutes of numbers, so that they are there when somebody opens the
 * page. Holders are only looked at when a leak was counted; nothing is formatted or written.
 */
export class Recorder {
  readonly #source: ConsoleSource;
  readonly #clock: Clock;
  readonly #databases = new Map<string, DatabaseRecord>();
  readonly #httpClients = new Map<string, HttpRecord>();
  readonly #notable: PoolEvent[] = [];
  readonly #routine: PoolEvent[] = [];
  #news: PoolEvent[] = [];
  readonly #onLook: () => void;
  #timer: Timer | undefined;

  /** @param onLook - called after each look. */
  constructor(source: ConsoleSource, onLook: () => void, clock: Clock = systemClock) {
    this.#source = source;
    this.#onLook = onLook;
    this.#clock = clock;
  }

  /** Starts looking. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.look();
    this.#plan(this.#clock.now() + LOOK_INTERVAL_MS);
  }

  /** Stops looking. */
  stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Looks don't drift apart: each is planned for a whole second after the one before. */
  #plan(dueAt: number): void {
    this.#timer = this.#clock.setBackgroundTimeout(() => {
      this.look();
      const now = this.#clock.now();
      this.#plan(now > dueAt + LOOK_INTERVAL_MS ? now + LOOK_INTERVAL_MS : dueAt + LOOK_INTERVAL_MS);
    }, dueAt - this.#clock.now());
  }

  /** Looks once, now. */
  look(): void {
    const at = this.#clock.wallNow();
    this.#news = [];
    for (const database of this.#source.databases()) this.#lookAtDatabase(at, database);
    for (const client of this.#source.httpClients()) this.#lookAtHttpClient(at, client);
    this.#onLook();
  }

  #lookAtDatabase(at: number, database: ConsoleDatabase): void {
    const look = { statistics: database.statistics(), histograms: database.histograms() };
    const record = this.#databases.get(database.name);
    if (record === undefined) {
      const sample = databaseSample(at, look, look);
      const history = new History<DatabaseField>(DATABASE_FIELDS, KEPT_LOOKS);
      this.#databases.set(database.name, { history, look, sample, leaked: new Set() });
      return;
    }
    const before = record.look;
    record.look = look;
    record.sample = databaseSample(at, before, look);
    record.history.push(record.sample);
    const newlyLeaked = look.statistics.leaks > before.statistics.leaks ? this.#newlyLeaked(record, database) : [];
    this.#note(databaseEvents(at, before.statistics, look.statistics, newlyLeaked));
  }

  #newlyLeaked(record: DatabaseRecord, database: ConsoleDatabase): Holder[] {
    const leaked = database.holders().filter((holder) => holder.leaked);
    const known = record.leaked;
    record.leaked = new Set(leaked.map((holder) => holder.connection));
    return leaked.filter((holder) => !known.has(holder.connection));
  }

  #lookAtHttpClient(at: number, client: ConsoleHttpClient): void {
    const look = client.statistics();
    const record = this.#httpClients.get(client.name);
    if (record === undefined) {
      const history = new History<HttpField>(HTTP_FIELDS, KEPT_LOOKS);
      this.#httpClients.set(client.name, { history, look, sample: httpSample(at, look, look) });
      return;
    }
    const before = record.look;
    record.look = look;
    record.sample = httpSample(at, before, look);
    record.history.push(record.sample);
    this.#note(httpEvents(at, before, look));
  }

  #note(events: readonly PoolEvent[]): void {
    this.#news.push(...events);
    for (const event of events) {
      const kept = event.routine === true ? this.#routine : this.#notable;
      kept.push(event);
      if (kept.length > KEPT_EVENTS) kept.shift();
    }
  }

  /** What is kept of a database pool. */
  database(name: string): DatabaseRecord | undefined {
    return this.#databases.get(name);
  }

  /** What is kept of an HTTP client. */
  httpClient(name: string): HttpRecord | undefined {
    return this.#httpClients.get(name);
  }

  /** What happened between the last two looks. */
  get news(): readonly PoolEvent[] {
    return this.#news;
  }

  /** The latest events, oldest first. */
  get events(): readonly PoolEvent[] {
    return [...this.#notable, ...this.#routine].sort((one, other) => one.at - other.at);
  }
}
