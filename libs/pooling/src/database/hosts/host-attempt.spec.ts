import { ManualClock } from '../../testing/manual-clock.js';
import { HostAttempt, type Found } from './host-attempt.js';
import type { Fit } from './server-facts.js';

const HOST = { host: 'db', port: 5432 };

/** One address that is dialled: what the network and the server do with it is the test's to say. */
interface Dialled {
  readonly address: string | undefined;
  readonly signal: AbortSignal;
  reach(): void;
  logIn(): void;
  open(fit?: Fit): void;
  fail(error: Error): void;
}

class Laboratory {
  readonly clock = new ManualClock();
  readonly dialled: Dialled[] = [];
  readonly closed: string[] = [];

  run(addresses: readonly string[], limitMs = 1_000, signal = new AbortController().signal): Promise<Found<string>> {
    const fits = new Map<string, Fit>();
    const attempt = new HostAttempt<string>(
      {
        clock: this.clock,
        addresses: () => Promise.resolve(addresses),
        dial: (_host, address, stop, { reached, loggedIn }) =>
          new Promise((resolve, reject) => {
            stop.addEventListener('abort', () => reject(stop.reason as Error));
            this.dialled.push({
              address,
              signal: stop,
              reach: reached,
              logIn: loggedIn,
              open: (fit = 'first') => {
                fits.set(address as string, fit);
                resolve(address as string);
              },
              fail: reject,
            });
          }),
        fit: (_host, connection) => fits.get(connection) as Fit,
        misfit: () => 'is a standby and read-write is wanted',
        close: (connection) => void this.closed.push(connection),
      },
      HOST,
    );
    return attempt.run(limitMs, signal);
  }

  get addresses(): (string | undefined)[] {
    return this.dialled.map(({ address }) => address);
  }
}

const refused = (): Error => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

describe('an attempt at a host with several addresses', () => {
  it('tries the next one beside a silent one after 250 ms, and gives the silent one up when the other answers', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['::1', '127.0.0.1']);
    await laboratory.clock.advance(249);
    expect(laboratory.addresses).toEqual(['::1']);
    await laboratory.clock.advance(1);
    expect(laboratory.addresses).toEqual(['::1', '127.0.0.1']);
    laboratory.dialled[1]?.open();
    expect(await found).toEqual({ connection: '127.0.0.1', fit: 'first' });
    expect(laboratory.dialled[0]?.signal.aborted).toBe(true);
  });

  it('tries the next one at once when one fails', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b']);
    await laboratory.clock.advance(0);
    laboratory.dialled[0]?.fail(refused());
    await laboratory.clock.advance(0);
    expect(laboratory.addresses).toEqual(['a', 'b']);
    laboratory.dialled[1]?.open();
    expect(await found).toEqual({ connection: 'b', fit: 'first' });
  });

  it('waits for a server that the network has reached, for its share of the time', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b']);
    await laboratory.clock.advance(0);
    laboratory.dialled[0]?.reach();
    await laboratory.clock.advance(499);
    expect(laboratory.addresses).toEqual(['a']);
    await laboratory.clock.advance(1);
    expect(laboratory.addresses).toEqual(['a', 'b']);
    laboratory.dialled[1]?.open();
    expect(await found).toEqual({ connection: 'b', fit: 'first' });
  });

  it('goes on past a server that doesn’t fit, and takes the second choice when there is no better one', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b', 'c', 'd']);
    for (const [at, fit] of (['none', 'second', 'second', 'none'] as const).entries()) {
      await laboratory.clock.advance(0);
      laboratory.dialled[at]?.open(fit);
    }
    expect(await found).toEqual({ connection: 'b', fit: 'second' });
    expect(laboratory.closed).toEqual(['a', 'c', 'd']);
  });

  it('says that a server doesn’t fit, when one has answered', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b']).catch((error: Error) => error);
    await laboratory.clock.advance(0);
    laboratory.dialled[0]?.open('none');
    await laboratory.clock.advance(0);
    laboratory.dialled[1]?.fail(refused());
    expect(await found).toMatchObject({ message: 'is a standby and read-write is wanted' });
  });

  it('closes what comes too late', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b']);
    await laboratory.clock.advance(250);
    laboratory.dialled[1]?.open();
    laboratory.dialled[0]?.open();
    await found;
    await laboratory.clock.advance(0);
    expect(laboratory.closed).toEqual(['a']);
  });

  it('ends where another address would be told the same', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b']).catch((error: Error) => error);
    await laboratory.clock.advance(0);
    const wrong = Object.assign(new Error('wrong password'), { code: '28P01' });
    laboratory.dialled[0]?.fail(wrong);
    expect(await found).toBe(wrong);
    expect(laboratory.addresses).toEqual(['a']);
  });

  it('takes no longer than it may, and leaves no timer and no dial behind', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b', 'c']).catch((error: Error) => error);
    await laboratory.clock.advance(1_000);
    expect(await found).toMatchObject({ code: 'ETIMEDOUT', message: 'gave no answer within 1000 ms' });
    expect(laboratory.dialled.every(({ signal }) => signal.aborted)).toBe(true);
    await laboratory.clock.advance(0);
    expect(laboratory.clock.pendingTimers).toBe(0);
  });

  it('says of a host that has let it in and is silent then: a pooler logs in without its server', async () => {
    const laboratory = new Laboratory();
    const found = laboratory.run(['a', 'b']).catch((error: Error) => error);
    await laboratory.clock.advance(0);
    laboratory.dialled[0]?.logIn();
    await laboratory.clock.advance(500);
    expect(laboratory.dialled[0]?.signal.reason).toMatchObject({
      code: 'ETIMEDOUT',
      message: 'let us in, and its server gave no answer within 500 ms',
    });
    laboratory.dialled[1]?.logIn();
    await laboratory.clock.advance(500);
    expect(await found).toMatchObject({ message: 'let us in, and its server gave no answer within 1000 ms' });
  });

  it('is given up with the dial that it belongs to', async () => {
    const laboratory = new Laboratory();
    const controller = new AbortController();
    const found = laboratory.run(['a', 'b'], 1_000, controller.signal).catch((error: Error) => error);
    await laboratory.clock.advance(0);
    const reason = new Error('the pool closes');
    controller.abort(reason);
    expect(await found).toBe(reason);
    expect(laboratory.dialled[0]?.signal.aborted).toBe(true);
  });
});
