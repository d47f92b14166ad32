import { existsSync, readFileSync } from 'node:fs';
import { Client } from 'pg';
import { inject } from 'vitest';
import { SeededRandom } from '#test/support/random.js';
import { systemClock, type Clock, type Timer } from '../../core/clock.js';
import { createKysely } from '../kysely/kysely.js';
import { DatabasePool } from '../database-pool.js';
import type { ReplannedReport } from '../database-events.js';
import { PlanWatch, type PlanTurn, type PlanVerdict } from './plan-watch.js';

const url = inject('databaseUrl');

/** How long after one made-up run the next one ends, in milliseconds. */
const EVERY_MS = 1;

/** Notes one run, made up, and gives what comes of it. */
function note(
  plans: PlanWatch,
  use: number,
  durations: { readonly generic: number; readonly custom: number },
  at: number,
  shared = false,
): { turn: PlanTurn | undefined; verdict: PlanVerdict | undefined } {
  const turn = shared ? undefined : plans.takeTurn();
  const planned = turn === 'custom';
  const run = { use: planned ? undefined : use, turn, shared };
  return { turn, verdict: plans.ran(run, planned ? durations.custom : durations.generic, at) };
}

/** Runs a statement many times, whose durations are made up; gives the verdict and how many runs it took. */
function watch(
  runs: number,
  durations: { generic: (random: () => number) => number; custom: (random: () => number) => number },
): { verdict: PlanVerdict | undefined; runs: number; custom: number } {
  const random = new SeededRandom(20_261_123).next;
  const plans = new PlanWatch(new SeededRandom(3_211_202).next);
  let custom = 0;
  for (let run = 1; run <= runs; run++) {
    const both = { generic: durations.generic(random), custom: durations.custom(random) };
    const { turn, verdict } = note(plans, run, both, run * EVERY_MS);
    if (turn === 'custom') custom++;
    if (verdict !== undefined) return { verdict, runs: run, custom };
  }
  return { verdict: undefined, runs, custom };
}

/** Mostly short, now and then ten times as long, as on a busy machine. */
function noisy(ms: number): (random: () => number) => number {
  return (random) => ms * (0.5 + random()) * (random() < 0.05 ? 10 : 1);
}

describe('the watch over plans', () => {
  it('gives up a generic plan that is slower than custom plans', () => {
    const { verdict, runs } = watch(10_000, { generic: noisy(1.9), custom: noisy(0.8) });
    expect(runs).toBeLessThan(3_000);
    expect(verdict?.genericMs).toBeGreaterThan(1.5 * (verdict?.customMs ?? Infinity));
  });

  it.each([
    ['quicker', 0.04, 0.09],
    ['as quick', 1, 1],
    ['hardly slower', 1, 0.95],
  ])('keeps a generic plan that is %s, and spends little on finding out', (_what, generic, custom) => {
    const outcome = watch(100_000, { generic: noisy(generic), custom: noisy(custom) });
    expect(outcome.verdict).toBe(undefined);
    expect(outcome.custom).toBeLessThan(0.01 * 100_000);
  });

  it('gives up a plan that is bad for a frequent value only, by how often a run is late', () => {
    const { verdict } = watch(20_000, {
      generic: (random) => (random() < 0.05 ? 30 : 0.3),
      custom: () => 0.35,
    });
    expect(verdict).toBeDefined();
  });

  it('compares only runs that had their connection for themselves: others are held up by their neighbours', () => {
    const random = new SeededRandom(20_261_123).next;
    const plans = new PlanWatch(new SeededRandom(3_211_202).next);
    for (let run = 1; run <= 50_000; run++) {
      // Those that share a connection, half of them, take long, and every tenth is late.
      const alone = run % 2 === 0;
      const ms = alone ? noisy(0.3)(random) : noisy(random() < 0.1 ? 20 : 0.6)(random);
      expect(note(plans, run, { generic: ms, custom: ms }, run * EVERY_MS, !alone).verdict).toBe(undefined);
    }
  });

  it('gives up none of many statements by chance, on a machine that stalls now and then', () => {
    const random = new SeededRandom(20_261_123).next;
    const given: PlanVerdict[] = [];
    for (let statement = 1; statement <= 500; statement++) {
      const plans = new PlanWatch(new SeededRandom(statement).next);
      let at = 0;
      let stalled = 0;
      for (let run = 1; run <= 10_000; run++) {
        at += 0.1 * random();
        if (stalled === 0 && random() < 0.003) {
          // Whatever is under way on ten connections then is late.
          stalled = 10;
          at += 15;
        }
        if (stalled > 0) stalled--;
        const ms = stalled > 0 ? 5 + 15 * random() : 0.2 + 0.2 * random();
        const { verdict } = note(plans, run, { generic: ms, custom: ms }, at);
        if (verdict !== undefined) given.push(verdict);
      }
    }
    expect(given).toEqual([]);
  });

  it('leaves alone a statement whose runs are late either way', () => {
    const late = (random: () => number): number => (random() < 0.05 ? 30 : 0.3);
    expect(watch(50_000, { generic: late, custom: late }).verdict).toBe(undefined);
  });
});

/**
 * Time that passes while one backend works: what it costs the server, however busy the machine is. Where the system
 * doesn't tell (it isn't Linux), the machine's own time.
 */
class BackendClock implements Clock {
  processId: number | undefined;
  #lastMs = 0;
  readonly wallNow = (): number => systemClock.wallNow();
  readonly setTimeout = (callback: () => void, delayMs: number): Timer => systemClock.setTimeout(callback, delayMs);
  readonly setBackgroundTimeout = (callback: () => void, delayMs: number): Timer =>
    systemClock.setBackgroundTimeout(callback, delayMs);
  readonly clearTimeout = (timer: Timer): void => systemClock.clearTimeout(timer);

  now(): number {
    if (!existsSync('/proc/self/schedstat')) return systemClock.now();
    try {
      // The nanoseconds that it has run.
      this.#lastMs = Number(readFileSync(`/proc/${this.processId}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    } catch {
      // Before the backend has begun, and when it has ended, no time passes.
    }
    return this.#lastMs;
  }

  /** How long something takes, in milliseconds. */
  async measure(run: () => Promise<unknown>): Promise<number> {
    const startedAt = this.now();
    await run();
    return this.now() - startedAt;
  }
}

describe('plans on a server', () => {
  it('takes a statement on skewed data back to being planned each time, and tells it once', async () => {
    const control = new Client(url);
    await control.connect();
    await control.query('drop table if exists skewed');
    await control.query(`
      create table skewed (id int primary key, k int not null, filler text);
      insert into skewed select n, case when n % 2 = 0 then 0 else n end, repeat('x', 100) from generate_series(1, 60000) n;
      create index skewed_k on skewed (k); alter table skewed alter k set (n_distinct = 30001); analyze skewed`);
    const reports: ReplannedReport[] = [];
    const clock = new BackendClock();
    const pool = new DatabasePool(
      'skewed',
      { url, size: 1, maxOverflow: 0 },
      { clock, observer: { replanned: (report) => reports.push(report) } },
    );
    pool.on('connect', (client) => (clock.processId = (client as unknown as { processID: number }).processID));
    try {
      const text = 'select * from skewed where k = $1 order by id limit 10';
      // Rare values make the server settle for a plan that reads all of the frequent one.
      for (let n = 0; n < 110; n++) await pool.query(text, [1_000 * (1 + (n % 59))]);
      for (let n = 0; n < 3_000 && reports.length === 0; n++) {
        await pool.query(text, [n % 4 === 0 ? 0 : 2 * n + 1]);
      }
      expect(reports).toEqual([expect.objectContaining({ pool: 'skewed', statement: text })]);
      const twenty = async (): Promise<void> => {
        for (let n = 0; n < 20; n++) expect((await pool.query(text, [0])).rows).toHaveLength(10);
      };
      const planned = await clock.measure(twenty);
      expect(reports).toHaveLength(1);
      // Reading and sorting them all takes twenty times as long.
      await pool.query('set plan_cache_mode = force_generic_plan');
      const generic = await clock.measure(async () => {
        for (let n = 0; n < 20; n++) await pool.query({ name: 'generic', text, values: [0] });
      });
      expect(planned).toBeLessThan(generic / 4);
    } finally {
      await pool.close();
      await control.query('drop table skewed');
      await control.end();
    }
  });

  it('keeps a limit in the text, where the planner sees it, and every other parameter out of it', async () => {
    await using pool = new DatabasePool('limits', { url });
    const db = createKysely<{ pg_class: { oid: number; relname: string } }>(pool);
    const page = db.selectFrom('pg_class').select('relname').where('oid', '>', 0).orderBy('oid');
    expect(page.limit(20).offset(40).compile()).toMatchObject({
      sql: 'select "relname" from "pg_class" where "oid" > $1 order by "oid" limit 20 offset $2',
      parameters: [0, 40],
    });
    expect(page.limit(7n).compile().sql).toContain('limit 7');
    expect(page.limit(null).compile().sql).toContain('limit $2');
    expect(await page.limit(3).execute()).toHaveLength(3);
  });
});
