import { startDemo, type Demo } from '#test/support/demo.js';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function call(method: string, url: string, json?: unknown): Promise<Answer> {
  const response = await fetch(url, {
    method,
    ...(json === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

describe('the demo on a cluster of its own', { timeout: 180_000 }, () => {
  let demo: Demo;

  beforeAll(async () => {
    demo = await startDemo({ CLUSTER: '1' });
  }, 120_000);

  afterAll(async () => {
    await demo.stop();
  });

  const roles = async (): Promise<Answer['body']> => (await call('GET', `${demo.shop}/cluster`)).body;

  async function ordered(): Promise<void> {
    const order = { customerId: 7, lines: [{ productId: 11, quantity: 1 }] };
    // One that was in flight when its server was killed or frozen has failed.
    await vi.waitFor(async () => expect((await call('POST', `${demo.shop}/orders`, order)).status).toBe(201), 60_000);
  }

  /** How many reads went where. */
  async function reads(outcome: 'replica' | 'waited' | 'primary'): Promise<number> {
    const metrics = await (await fetch(`${demo.shop}/metrics`)).text();
    const [, count] = new RegExp(
      `^db_pool_replica_reads_total\\{pool="default",outcome="${outcome}"\\} (\\d+)$`,
      'm',
    ).exec(metrics) as RegExpExecArray;
    return Number(count);
  }

  async function stock(headers: Record<string, string> = {}): Promise<number> {
    const response = await fetch(`${demo.shop}/products/11`, { headers });
    return ((await response.json()) as { stock: number }).stock;
  }

  it('reads from its standbys, and what was written from the primary while they lack it', async () => {
    await vi.waitFor(async () => {
      expect(await stock()).toBeGreaterThan(0);
      expect(await reads('replica')).toBeGreaterThan(0);
    }, 60_000);
    const [before, primary] = [await stock(), await reads('primary')];
    for (const name of ['db2', 'db3']) {
      expect(await call('POST', `${demo.shop}/cluster/${name}/delay`)).toMatchObject({ status: 200 });
    }
    const response = await fetch(`${demo.shop}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ customerId: 7, lines: [{ productId: 11, quantity: 1 }] }),
    });
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ status: 'placed', lines: [{ quantity: 1 }] });
    expect(await reads('primary')).toBeGreaterThan(primary);
    const [cookie] = response.headers.getSetCookie();
    expect(cookie).toMatch(/^written=[^;,\s]+; Max-Age=60; Path=\/; HttpOnly; SameSite=Lax$/);
    expect(await stock({ cookie: `other=1; ${cookie?.split(';')[0]}` })).toBe(before - 1);
    expect(await stock({ cookie: 'written=what nobody wrote' })).toBeGreaterThan(0);
    for (const name of ['db2', 'db3']) {
      expect(await call('POST', `${demo.shop}/cluster/${name}/keep-up`)).toMatchObject({ status: 200 });
    }
  });

  it('breaks and mends it by the lines that it prints, and takes orders after each of them', async () => {
    expect(demo.child.output()).toMatch(
      /database +its own cluster: db1 \(port \d+\) is the primary, db2 \(port \d+\) and db3 \(port \d+\) are its standbys/,
    );
    expect(await roles()).toEqual({ db1: 'primary', db2: 'standby', db3: 'standby' });
    const lines = [...demo.child.output().matchAll(/curl -X POST (\S+\/cluster\/\S+)|curl -i \S+\/(orders) -H/g)];
    expect(lines).toHaveLength(13);
    for (const [, change] of lines) {
      if (change === undefined) await ordered();
      else expect(await call('POST', change)).toMatchObject({ status: 200 });
    }
    expect(await roles()).toEqual({ db1: 'standby', db2: 'standby', db3: 'primary' });
    const metrics = await (await fetch(`${demo.shop}/metrics`)).text();
    expect(Number(/^db_pool_failovers_total\{pool="default"\} (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThanOrEqual(2);
  });

  it('says what can’t be done to a server', async () => {
    expect(await call('POST', `${demo.shop}/cluster/db3/promote`)).toMatchObject({
      status: 409,
      body: { message: 'db3 is a primary: no promote of it' },
    });
    expect((await call('POST', `${demo.shop}/cluster/db3/rejoin`)).status).toBe(409);
    expect((await call('POST', `${demo.shop}/cluster/db9/kill`)).status).toBe(409);
    expect((await call('POST', `${demo.shop}/cluster/db1/explode`)).status).toBe(400);
  });
});
