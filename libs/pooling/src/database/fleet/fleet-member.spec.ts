import { ManualClock } from '../../testing/manual-clock.js';
import { FleetMember, type BudgetedPool, type Visit } from './fleet-member.js';
import type { FleetConnection } from './look.js';

/** A server that knows one connection, and the names of others. */
class OneConnection implements FleetConnection {
  readonly processId = 7;
  alive = true;
  name = 'orders#aaaaaa';
  others: { name: string; connections: string }[] = [];
  looks = 0;
  failure: Error | undefined = undefined;

  carry(name: string): void {
    this.name = name;
  }

  run(text: string, values: unknown[]): Promise<{ rows: readonly unknown[] }> {
    if (!text.includes('pg_stat_activity')) {
      this.name = values[0] as string;
      return Promise.resolve({ rows: [] });
    }
    this.looks++;
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const rows = [{ name: this.name, connections: '1' }, ...this.others];
    return Promise.resolve({ rows: rows.map((row) => ({ ...row, backend: '7' })) });
  }
}

/** A pool with one idle connection, which every visit meets. */
class OneIdle implements BudgetedPool {
  readonly most = 20;
  used = 1;
  open = 1;
  wanted = 9;
  ceiling = 0;
  connection = new OneConnection();
  present = true;
  readonly offs: string[] = [];

  limit(ceiling: number): void {
    this.ceiling = ceiling;
  }

  visit(visit: Visit): void {
    void visit(this.connection, () => this.present);
  }

  off(reason: string): void {
    this.offs.push(reason);
  }
}

const CHECK_MS = 8_000;

let clock: ManualClock;
let random = 0;
let pool: OneIdle;
let member: FleetMember;

beforeEach(async () => {
  clock = new ManualClock();
  random = 0;
  pool = new OneIdle();
  member = new FleetMember({
    connections: 10,
    min: 2,
    checkMs: CHECK_MS,
    fleet: 'orders',
    plain: 'orders',
    id: 'aaaaaa',
    clock,
    random: () => random,
  });
  member.join(pool);
  member.opened();
  // The first look claims, and a second one takes what it claimed.
  await clock.advance(CHECK_MS / 8);
});

describe('a process of a fleet', () => {
  it('looks at once, claims, and takes what it has claimed an eighth of `checkMs` later', () => {
    expect(pool.connection.looks).toBe(2);
    expect(pool.ceiling).toBe(10);
    expect(pool.connection.name).toMatch(/^orders#aaaaaa\/10\.9\.1$/);
  });

  it.each([
    [0, 0.75],
    [0.5, 1],
    [0.999, 1.25],
  ])('with a random number of %d looks again after %d of `checkMs`', async (number, part) => {
    random = number;
    await clock.advance(2 * CHECK_MS);
    // What is due is seen at one of the eight moments between two looks at which demand is noted.
    const momentsToNextLook = async (): Promise<number> => {
      const { looks } = pool.connection;
      let moments = 0;
      while (pool.connection.looks === looks) {
        await clock.advance(CHECK_MS / 8);
        moments++;
      }
      return moments;
    };
    await momentsToNextLook();
    expect((await momentsToNextLook()) / 8).toBe(part);
  });

  it('changes nothing when a look fails, and looks again soon', async () => {
    pool.connection.failure = Object.assign(new Error('not now'), { code: '57014' });
    pool.connection.others = [{ name: 'orders#000000/6.9.1', connections: '6' }];
    const { looks } = pool.connection;
    await clock.advance(CHECK_MS);
    expect(pool.connection.looks).toBeGreaterThan(looks + 1);
    expect(pool.ceiling).toBe(10);
    expect(member.statistics).toMatchObject({ state: 'on', processes: 1 });
    pool.connection.failure = undefined;
    await clock.advance(CHECK_MS / 8);
    expect(pool.ceiling).toBe(5);
    expect(member.statistics).toMatchObject({ state: 'on', processes: 2 });
    expect(pool.offs).toEqual([]);
  });

  it('has what others can see of it while its publication is gone, and no more as its connections die', async () => {
    pool.used = 6;
    pool.open = 5;
    const { connection } = pool;
    pool.connection = new OneConnection();
    pool.connection.failure = Object.assign(new Error('not now'), { code: '57014' });
    member.closed(connection);
    expect(pool.ceiling).toBe(5);
    pool.open = 3;
    member.closed(new OneConnection());
    expect(pool.ceiling).toBe(3);
    pool.open = 0;
    member.closed(new OneConnection());
    expect(pool.ceiling).toBe(2);
    pool.used = 1;
    pool.connection.failure = undefined;
    await clock.advance(CHECK_MS / 4);
    expect(pool.ceiling).toBe(10);
    member.closed(new OneConnection());
    expect(pool.ceiling).toBe(10);
  });

  it('begins with `min` on another server, and goes by what it sees there alone', async () => {
    const { connection: old } = pool;
    pool.present = false;
    member.moved();
    expect(pool.ceiling).toBe(2);
    expect(member.statistics).toMatchObject({ state: 'starting', processes: 0 });
    const before = old.looks;
    await clock.advance(CHECK_MS);
    expect(old.looks).toBeGreaterThan(before);
    expect(pool.ceiling).toBe(2);
    pool.connection = new OneConnection();
    pool.connection.others = [{ name: 'orders#000000/6.9.1', connections: '6' }];
    pool.present = true;
    member.opened();
    await clock.advance(CHECK_MS / 8);
    expect(pool.ceiling).toBe(4);
    expect(pool.connection.name).toMatch(/^orders#aaaaaa\/4\.9\./);
  });
});
