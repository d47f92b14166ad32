import { systemClock, type Clock } from '../core/clock.js';
import { poolChannel, type PoolCreated } from '../core/diagnostics.js';
import { counted, type Advice } from './advice.js';

/** This many new pools to one database within the window mean that there is a pool for each request. */
const TOO_MANY = 10;
const WINDOW_MS = 60_000;
/** Databases that are told apart. */
const MOST_SERVERS = 100;

/** Counts the pools that are made in this process, by the database they are for. */
export class PoolCensus {
  readonly #clock: Clock;
  /** When the latest pools to each server were made, oldest first. */
  readonly #made = new Map<string, { name: string; times: number[] }>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Starts counting. */
  start(): void {
    poolChannel.subscribe(this.#note);
  }

  /** Stops counting. */
  stop(): void {
    poolChannel.unsubscribe(this.#note);
  }

  readonly #note = ({ name, server }: PoolCreated): void => {
    let made = this.#made.get(server);
    if (made === undefined) {
      if (this.#made.size >= MOST_SERVERS) return;
      this.#made.set(server, (made = { name, times: [] }));
    }
    made.name = name;
    made.times.push(this.#clock.now());
    if (made.times.length > TOO_MANY) made.times.shift();
  };

  /** `POOL_PER_REQUEST`: pools to one server keep being made. */
  findings(): Advice[] {
    const since = this.#clock.now() - WINDOW_MS;
    return [...this.#made]
      .filter(([, { times }]) => times.length >= TOO_MANY && (times[0] as number) >= since)
      .map(([server, { name }]) => ({
        code: 'POOL_PER_REQUEST',
        severity: 'error',
        pool: name,
        message:
          `${name}: ${counted(TOO_MANY, 'pool')} or more to ${server} were made in the last minute. A pool is made once ` +
          'and shared: one for each request opens a connection for each request, and nothing bounds their number.',
        evidence: { server, atLeast: TOO_MANY, withinMs: WINDOW_MS },
      }));
  }
}
