import { Client } from 'pg';
import type { Advice, AdviceCode } from '#pooling/advice/advice.js';
import { PoolAdvisor, type PoolAdvisorDependencies } from '#pooling/advice/pool-advisor.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import type { HttpClient } from '#pooling/http/http-client.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';

/** Pools of one test, on a clock that is turned by hand, and advisors that look at them. */
export class AdvisedPools {
  readonly clock = new ManualClock();
  readonly pools: DatabasePool[] = [];
  readonly clients: HttpClient[] = [];
  readonly #ends: (() => unknown)[] = [];

  /** @param url the database of pools that have no other */
  constructor(private readonly url: string) {}

  /** A pool that has opened nothing; nothing happens in its background unless asked for. */
  create(options: DatabaseOptions = {}, name = 'default'): DatabasePool {
    const settings = { url: this.url, size: 5, maxOverflow: 0, keepAliveMs: 0, queryTimeoutMs: 0, ...options };
    const pool = new DatabasePool(name, settings, { clock: this.clock });
    this.pools.push(pool);
    return pool;
  }

  /** A pool of which one connection is open. */
  async open(options: DatabaseOptions = {}, name?: string): Promise<DatabasePool> {
    const pool = this.create(options, name);
    await pool.query('select 1');
    return pool;
  }

  /** An advisor that watches. */
  advisor(dependencies: Partial<PoolAdvisorDependencies> = {}): PoolAdvisor {
    const { pools, clients, clock } = this;
    const advisor = new PoolAdvisor({ databases: () => pools, httpClients: () => clients, clock, ...dependencies });
    advisor.start();
    this.atEnd(() => advisor.stop());
    return advisor;
  }

  /** Resolves when the server has noticed that the clients of earlier tests have gone: it counts them until then. */
  async undisturbed(): Promise<void> {
    const others = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
    await vi.waitFor(async () => expect(await run(this.url, others)).toEqual([]));
  }

  /** Opens connections of others. */
  async openOthers(count: number, nameOf: (at: number) => string): Promise<void> {
    for (let at = 0; at < count; at++) {
      const client = new Client({ connectionString: this.url, application_name: nameOf(at) });
      await client.connect();
      this.atEnd(() => client.end());
    }
  }

  /** Does something when the test is over. */
  atEnd(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** Closes everything. */
  async end(): Promise<void> {
    await Promise.all([...this.pools, ...this.clients].map((pool) => pool.close({ deadlineMs: 100 })));
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}

/** What an advisor finds now, of one code. */
export async function found(advisor: PoolAdvisor, code: AdviceCode): Promise<Advice[]> {
  return (await advisor.advise()).filter((advice) => advice.code === code);
}

/** Runs one statement on a connection of its own to a server's first database. */
export async function run<Row extends object>(url: string, text: string): Promise<Row[]> {
  const address = new URL(url);
  address.pathname = 'postgres';
  const client = new Client({ connectionString: address.href });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
