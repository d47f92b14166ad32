import { hostname } from 'node:os';
import type { Advice } from '../advice/advice.js';
import { systemClock, type Clock } from '../core/clock.js';
import type { ConsoleAction, ConsoleOptions } from './console-options.js';
import type { ConsoleSource } from './console-source.js';
import { Recorder } from './recorder.js';

/** The part of a response that the feed writes to. */
export interface Viewer {
  /** Whether it has more to send than it can. */
  readonly writableNeedDrain: boolean;
  write(text: string): unknown;
  end(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** The advisor looks again this often while somebody watches, in milliseconds. */
const ADVICE_INTERVAL_MS = 5_000;
/** Who watches gets the statements this often, in milliseconds. */
const STATEMENTS_INTERVAL_MS = 5_000;
/** Holders of one pool that are shown. */
const SHOWN_HOLDERS = 100;

/**
 * Sends what the recorder sees to everybody who watches: one text for all of them, made only when there is somebody.
 * A viewer who doesn't keep up misses seconds instead of making them pile up here.
 */
export class LiveFeed {
  readonly #source: ConsoleSource;
  readonly #clock: Clock;
  readonly #recorder: Recorder;
  readonly #viewers = new Set<Viewer>();
  readonly #allowedActions: readonly ConsoleAction[];
  readonly #statements: boolean;
  #advisedAt = -Infinity;
  #listedAt = -Infinity;
  #ended = false;

  constructor(
    source: ConsoleSource,
    { allowedActions = [], statements = true }: Pick<ConsoleOptions, 'allowedActions' | 'statements'>,
    clock: Clock = systemClock,
  ) {
    this.#source = source;
    this.#allowedActions = allowedActions;
    this.#statements = statements;
    this.#clock = clock;
    this.#recorder = new Recorder(source, () => this.#tick(), clock);
  }

  /** Starts recording. */
  start(): void {
    this.#recorder.start();
  }

  /** Stops recording and lets every viewer go: an open stream would keep the HTTP server from closing. */
  end(): void {
    this.#ended = true;
    this.#recorder.stop();
    for (const viewer of this.#viewers) viewer.end();
    this.#viewers.clear();
  }

  /** How many watch now. */
  get viewers(): number {
    return this.#viewers.size;
  }

  /** Adds a viewer, who first gets everything that is known, and then what is new. */
  add(viewer: Viewer): void {
    if (this.#ended) return void viewer.end();
    this.#viewers.add(viewer);
    viewer.once('close', () => this.#viewers.delete(viewer));
    viewer.write(`retry: 1000\n${message('hello', this.#everything())}`);
    this.#advise();
  }

  #tick(): void {
    if (this.#statements) this.#source.countStatements();
    if (this.#viewers.size === 0) return;
    this.#advise();
    const now = this.#clock.now();
    const lists = now - this.#listedAt >= STATEMENTS_INTERVAL_MS;
    if (lists) this.#listedAt = now;
    const text = message('tick', { ...this.#now(lists), events: this.#recorder.news });
    for (const viewer of this.#viewers) {
      if (!viewer.writableNeedDrain) viewer.write(text);
    }
  }

  #advise(): void {
    const now = this.#clock.now();
    if (now - this.#advisedAt < ADVICE_INTERVAL_MS) return;
    this.#advisedAt = now;
    void this.#source.refreshAdvice();
  }

  #everything(): object {
    return {
      ...this.#now(true),
      instance: {
        host: hostname(),
        process: process.pid,
        startedAt: this.#clock.wallNow() - process.uptime() * 1_000,
      },
      allowedActions: this.#allowedActions,
      events: this.#recorder.events,
      configurations: {
        databases: this.#configurations('database'),
        httpClients: this.#configurations('http'),
      },
      histories: {
        databases: this.#histories(this.#source.databases(), (name) => this.#recorder.database(name)),
        httpClients: this.#histories(this.#source.httpClients(), (name) => this.#recorder.httpClient(name)),
      },
    };
  }

  #configurations(kind: 'database' | 'http'): object[] {
    const pools = kind === 'database' ? this.#source.databases() : this.#source.httpClients();
    return pools.map(({ name }) => ({ name, configuration: this.#source.configuration(kind, name) }));
  }

  #histories(
    pools: readonly { readonly name: string }[],
    recordOf: (name: string) => { history: { count: number; columns(): object } } | undefined,
  ): object[] {
    return pools.map(({ name }) => {
      const history = recordOf(name)?.history;
      return { name, count: history?.count ?? 0, columns: history?.columns() ?? {} };
    });
  }

  #now(lists: boolean): object {
    return {
      at: this.#clock.wallNow(),
      databases: this.#source.databases().map((database) => {
        const holders = database.holders();
        return {
          name: database.name,
          statistics: database.statistics(),
          sample: this.#recorder.database(database.name)?.sample,
          holders: holders.slice(0, SHOWN_HOLDERS),
          load: this.#source.load(database.name),
          ...(lists && this.#statements ? { statements: this.#source.statements(database.name) } : undefined),
        };
      }),
      httpClients: this.#source.httpClients().map((client) => ({
        name: client.name,
        statistics: client.statistics(),
        sample: this.#recorder.httpClient(client.name)?.sample,
      })),
      advice: this.#source.advice() satisfies readonly Advice[],
    };
  }
}

/** One server-sent event. JSON has no line breaks of its own. */
function message(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
