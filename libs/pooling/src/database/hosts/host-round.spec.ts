import { ManualClock } from '../../testing/manual-clock.js';
import { HostRound } from './host-round.js';
import { HostsError, MisfitError } from './host-failures.js';

const HOSTS = ['a', 'b', 'c'].map((host) => ({ host, port: 5432 }));

/** One host that is asked: what it answers is the test's to say. */
interface Asked {
  readonly limitMs: number;
  readonly signal: AbortSignal;
  answer(fit?: 'first' | 'second'): void;
  fail(error: Error): void;
}

class Laboratory {
  readonly clock = new ManualClock();
  readonly closed: string[] = [];
  /** What was asked of each host, in order. */
  readonly asked: Record<string, Asked[]> = { a: [], b: [], c: [] };

  run(limitMs = 10_000, signal = new AbortController().signal): Promise<string> {
    const round = new HostRound<string>(
      {
        clock: this.clock,
        attempt: ({ host }, limit, stop) =>
          new Promise((resolve, reject) => {
            stop.addEventListener('abort', () => reject(stop.reason as Error));
            const connection = `${host}${(this.asked[host] as Asked[]).length}`;
            this.asked[host]?.push({
              limitMs: limit,
              signal: stop,
              answer: (fit = 'first') => resolve({ connection, fit }),
              fail: reject,
            });
          }),
        close: (connection) => void this.closed.push(connection),
      },
      HOSTS,
    );
    return round.run(limitMs, signal);
  }

  last(host: string): Asked {
    return this.asked[host]?.at(-1) as Asked;
  }

  get counts(): number[] {
    return Object.values(this.asked).map(({ length }) => length);
  }
}

const misfit = (): Error => new MisfitError('is a standby and read-write is wanted');
const refused = (): Error => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

describe('a round of all hosts', () => {
  it('asks those that have failed again every 500 ms while another one is silent: one may be promoted', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run();
    laboratory.last('b').fail(misfit());
    laboratory.last('c').fail(refused());
    await laboratory.clock.advance(499);
    expect(laboratory.counts).toEqual([1, 1, 1]);
    await laboratory.clock.advance(1);
    expect(laboratory.counts).toEqual([1, 2, 2]);
    expect(laboratory.last('b').limitMs).toBe(9_500);
    laboratory.last('c').fail(refused());
    // One that is being asked isn't asked once more.
    await laboratory.clock.advance(500);
    expect(laboratory.counts).toEqual([1, 2, 3]);
    laboratory.last('b').answer();
    expect(await found).toBe('b1');
    expect(laboratory.last('a').signal.aborted).toBe(true);
    await laboratory.clock.advance(0);
    expect(laboratory.clock.pendingTimers).toBe(0);
  });

  it('ends as soon as each of them has failed, and gives up what it has asked again', async () => {
    const laboratory = new Laboratory();
    const failed = laboratory.run().catch((error: Error) => error);
    laboratory.last('b').fail(misfit());
    laboratory.last('c').fail(refused());
    await laboratory.clock.advance(500);
    laboratory.last('a').fail(new Error('silent'));
    const error = await failed;
    expect(error).toBeInstanceOf(HostsError);
    expect((error as HostsError).answered).toBe(true);
    expect((error as Error).message).toBe(
      'a:5432 failed: silent; b:5432 is a standby and read-write is wanted; c:5432 refused the connection',
    );
    expect(laboratory.last('b').signal.aborted).toBe(true);
    await laboratory.clock.advance(0);
    expect(laboratory.clock.pendingTimers).toBe(0);
  });

  it('asks nobody again where no host has answered: that is the back-off’s', async () => {
    const laboratory = new Laboratory();
    const failed = laboratory.run().catch((error: Error) => error);
    laboratory.last('b').fail(refused());
    laboratory.last('c').fail(refused());
    await laboratory.clock.advance(5_000);
    expect(laboratory.counts).toEqual([1, 1, 1]);
    laboratory.last('a').fail(refused());
    expect((await failed) as HostsError).toMatchObject({ answered: false });
  });

  it('waits a second for a better one than the second choice, and closes what it doesn’t take', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run();
    laboratory.last('a').answer('second');
    await laboratory.clock.advance(999);
    laboratory.last('b').answer('second');
    await laboratory.clock.advance(1);
    expect(await found).toBe('a0');
    expect(laboratory.closed).toEqual(['b0']);
  });

  it('is given up with the dial that it belongs to', async () => {
    const laboratory = new Laboratory();
    const controller = new AbortController();
    const failed = laboratory.run(10_000, controller.signal).catch((error: Error) => error);
    laboratory.last('b').fail(misfit());
    await laboratory.clock.advance(0);
    const reason = new Error('the pool closes');
    controller.abort(reason);
    expect(await failed).toBe(reason);
    expect(laboratory.clock.pendingTimers).toBe(0);
  });
});
