import { systemClock } from './clock.js';
import { Deadline, Deadlines } from './deadlines.js';
import { ManualClock } from '../testing/manual-clock.js';

class Probe extends Deadline {
  expiredAt: number | undefined = undefined;

  constructor(readonly now: () => number) {
    super();
  }

  expire(): void {
    this.expiredAt = this.now();
  }
}

describe('Deadlines', () => {
  it('expire no earlier than asked and at most 25 ms later', async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    await clock.advance(7);
    const probes = [0, 1, 9, 10, 11, 199, 200, 1_000, 65_536].map((inMs) => {
      const probe = new Probe(() => clock.now());
      deadlines.set(probe, inMs);
      return { probe, dueAt: clock.now() + inMs };
    });
    await clock.advance(70_000);
    for (const { probe, dueAt } of probes) {
      expect(probe.expiredAt).toBeGreaterThanOrEqual(dueAt);
      expect(probe.expiredAt).toBeLessThanOrEqual(dueAt + 25);
    }
    expect(deadlines.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('are forgotten when cleared, also by another one that expires before them', async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const victim = new Probe(() => clock.now());
    const culprit = new (class extends Deadline {
      expire(): void {
        deadlines.clear(victim);
      }
    })();
    deadlines.set(culprit, 50);
    deadlines.set(victim, 50);
    await clock.advance(100);
    expect(victim.expiredAt).toBeUndefined();
    deadlines.clear(victim);
    expect(deadlines.size).toBe(0);
  });

  it('sleep until the next one is due instead of ticking', async () => {
    const clock = new ManualClock();
    const wakes: number[] = [];
    const counting = Object.create(clock, {
      setTimeout: {
        value: (callback: () => void, delayMs: number) => {
          wakes.push(delayMs);
          return clock.setTimeout(callback, delayMs);
        },
      },
      now: { value: () => clock.now() },
      clearTimeout: { value: (timer: object) => clock.clearTimeout(timer) },
    }) as ManualClock;
    const deadlines = new Deadlines(counting);
    deadlines.set(new Probe(() => clock.now()), 60_000);
    await clock.advance(61_000);
    expect(wakes).toHaveLength(1);
  });

  it('that are earlier than all others wake the wheel earlier', async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const late = new Probe(() => clock.now());
    const early = new Probe(() => clock.now());
    deadlines.set(late, 10_000);
    deadlines.set(early, 100);
    await clock.advance(130);
    expect(early.expiredAt).toBeDefined();
    expect(late.expiredAt).toBeUndefined();
  });

  it('let the sockets be read first after the event loop stood still', async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const probe = new Probe(() => clock.now());
    deadlines.set(probe, 1_000);
    await clock.leap(5_000);
    expect(probe.expiredAt).toBeUndefined();
    // What was read meanwhile may set new deadlines; the overdue one isn't put off by them.
    deadlines.set(new Probe(() => clock.now()), 500);
    await clock.advance(1);
    expect(probe.expiredAt).toBe(5_001);
  });

  it('stop their timer when the owner closes and nothing is due', () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const probe = new Probe(() => clock.now());
    deadlines.set(probe, 1_000);
    deadlines.stopWhenIdle();
    expect(clock.pendingTimers).toBe(1);
    deadlines.clear(probe);
    deadlines.stopWhenIdle();
    expect(clock.pendingTimers).toBe(0);
  });

  it('keep the order of their times whatever the order they were set in', async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const order: number[] = [];
    for (let index = 0; index < 500; index++) {
      const inMs = ((index * 7919) % 500) * 20;
      const deadline = new (class extends Deadline {
        expire(): void {
          order.push(inMs);
        }
      })();
      deadlines.set(deadline, inMs);
    }
    await clock.advance(11_000);
    expect(order).toHaveLength(500);
    expect(order).toEqual(order.toSorted((one, other) => one - other));
  });

  it('that expire by the hundred thousand leave the event loop room to breathe', async () => {
    const deadlines = new Deadlines(systemClock);
    let left = 100_000;
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    await new Promise<void>((resolve) => {
      class Slow extends Deadline {
        expire(): void {
          // Some 2 µs of work each: 200 ms in one go without turns.
          for (let spin = 0, until = performance.now() + 0.002; spin < 1e6 && performance.now() < until; spin++);
          if (--left === 0) resolve();
        }
      }
      for (let count = 0; count < 100_000; count++) deadlines.set(new Slow(), 20);
    });
    clearInterval(counting);
    expect(turns).toBeGreaterThan(10);
  });
});
