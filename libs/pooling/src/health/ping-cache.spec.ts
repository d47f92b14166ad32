import { Logger } from '@nestjs/common';
import type { PoolStatistics } from '../core/statistics.js';
import { ManualClock } from '../testing/manual-clock.js';
import type { HealthDatabase } from './health-source.js';
import { PING_TIMEOUT_MS, PingCache } from './ping-cache.js';

type Answer = Awaited<ReturnType<HealthDatabase['ping']>>;

/** A database whose pings are answered by hand. */
class HandDatabase implements HealthDatabase {
  readonly name = 'orders';
  pings = 0;
  answer: () => Promise<Answer> = () => Promise.resolve({ status: 'up' });

  statistics(): PoolStatistics {
    throw new Error('a ping needs no statistics');
  }

  ping(): Promise<Answer> {
    this.pings++;
    return this.answer();
  }
}

const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' });

let clock: ManualClock;
let database: HandDatabase;
let pings: PingCache;

beforeEach(() => {
  clock = new ManualClock();
  database = new HandDatabase();
  pings = new PingCache(clock);
});

afterEach(() => void vi.restoreAllMocks());

describe('pings for probes', () => {
  it('are shared by probes that come at once', async () => {
    let reply: (answer: Answer) => void = () => {};
    database.answer = () => new Promise((resolve) => (reply = resolve));
    const outcomes = Promise.all([pings.ping(database), pings.ping(database), pings.ping(database)]);
    reply({ status: 'up' });
    expect(await outcomes).toEqual(['up', 'up', 'up']);
    expect(database.pings).toBe(1);
  });

  it('serve until they are 800 ms old, and for 200 ms more while the next one is under way', async () => {
    await pings.ping(database);
    await clock.advance(799);
    await pings.ping(database);
    expect(database.pings).toBe(1);
    await clock.advance(1);
    database.answer = () => Promise.reject(refused);
    expect(await pings.ping(database)).toBe('up');
    expect(database.pings).toBe(2);
    expect(await pings.ping(database)).toBe('down');
    expect(database.pings).toBe(2);
  });

  it('are made again after a second', async () => {
    await pings.ping(database);
    await clock.advance(1_000);
    database.answer = () => Promise.reject(refused);
    expect(await pings.ping(database)).toBe('down');
  });

  it('find a server that falls silent within two seconds, a whole time-out included', async () => {
    vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    let silent = false;
    database.answer = () =>
      silent
        ? new Promise((_, reject) => clock.setTimeout(() => reject(refused), PING_TIMEOUT_MS))
        : Promise.resolve({ status: 'up' });
    await pings.ping(database);
    silent = true;
    const silentAt = clock.now();
    let foundAt: number | undefined;
    while (foundAt === undefined) {
      void pings.ping(database).then((outcome) => {
        if (outcome === 'down') foundAt ??= clock.now();
      });
      await clock.advance(50);
    }
    expect(foundAt - silentAt).toBeLessThanOrEqual(2_000);
  });

  it('tell a saturated pool from a dead one', async () => {
    database.answer = () => Promise.resolve({ status: 'degraded' });
    expect(await pings.ping(database)).toBe('degraded');
    await clock.advance(1_000);
    database.answer = () => Promise.reject(refused);
    expect(await pings.ping(database)).toBe('down');
  });

  it('log that a database went down once, and once that it came back', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    const log = vi.spyOn(Logger.prototype, 'log').mockImplementation(() => {});
    database.answer = () => Promise.reject(refused);
    for (let probe = 0; probe < 5; probe++) {
      await pings.ping(database);
      await clock.advance(1_000);
    }
    database.answer = () => Promise.resolve({ status: 'up' });
    for (let probe = 0; probe < 3; probe++) {
      await pings.ping(database);
      await clock.advance(1_000);
    }
    expect(warn.mock.calls).toEqual([["orders: the database doesn't answer: connect ECONNREFUSED 127.0.0.1:5432"]]);
    expect(log.mock.calls).toEqual([['orders: the database answers again, after 5.0 s']]);
  });
});
