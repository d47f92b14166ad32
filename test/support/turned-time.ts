import { systemClock } from '#pooling/core/clock.js';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import type { ManualClock } from '#pooling/testing/manual-clock.js';
import { rejection } from './outcomes.js';

/** Deadlines are never early, and late by less than this, in milliseconds. */
const GRAIN_MS = 10;

/**
 * What a query is rejected with whose dial has failed, and whose time is up after that: how long the dial takes on this
 * machine doesn't matter.
 */
export async function refusedAfterDial(pool: DatabasePool, clock: ManualClock): Promise<Error> {
  const refused = rejection(pool.query('select 1'));
  await vi.waitFor(() => expect(pool.statistics().connectErrors).toBeGreaterThan(0));
  await clock.advance(pool.configuration.acquireTimeoutMs + GRAIN_MS);
  return refused;
}

/** Turns the clock by small steps while real sockets answer in real time. */
export async function turn(clock: ManualClock, byMs: number, stepMs = 40): Promise<void> {
  for (let turned = 0; turned < byMs; turned += stepMs) {
    await clock.advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/**
 * Turns the clock as real time goes by, until it is disposed of: by small steps, so that time which this process was held up
 * for doesn't count.
 */
export function keepTurning(clock: ManualClock): AsyncDisposable {
  let turning = true;
  const turned = (async () => {
    while (turning) await turn(clock, 2, 2);
  })();
  return {
    async [Symbol.asyncDispose]() {
      turning = false;
      await turned;
    },
  };
}

/** The timer of that length on the machine's clock, where no other can be given: it fires when the test says so. */
export function heldTimer(delayMs: number): { readonly set: Promise<void>; fire(): void } {
  const { setTimeout: usual } = systemClock;
  let fire = (): void => expect.fail(`no timer of ${delayMs} ms was set`);
  const set = new Promise<void>((resolve) => {
    const spy = vi.spyOn(systemClock, 'setTimeout').mockImplementation((callback, ms) => {
      if (ms !== delayMs) return usual.call(systemClock, callback, ms);
      fire = callback;
      resolve();
      return {};
    });
    onTestFinished(() => spy.mockRestore());
  });
  return { set, fire: () => fire() };
}
