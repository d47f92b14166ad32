import { EventEmitter } from 'node:events';
import type { Advice } from '#pooling/advice/advice.js';
import { ConsoleSource, type ConsoleDatabase } from '#pooling/console/console-source.js';
import { LiveFeed, type Viewer } from '#pooling/console/live-feed.js';
import { accessWhenUsed } from '#pooling/database/database-access.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { StatementList } from '#pooling/database/query/statement-tally.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

/** Shows one pool, and counts what it is asked for. */
class CountingSource extends ConsoleSource {
  readonly asked = { statistics: 0, holders: 0, advice: 0, configuration: 0, statements: 0 };
  readonly #shown: ConsoleDatabase;
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    super();
    this.#pool = pool;
    const { asked } = this;
    this.#shown = {
      name: pool.name,
      histograms: () => pool.histograms(),
      expireAll: () => pool.expireAll(),
      suspend: () => pool.suspend(),
      resume: () => pool.resume(),
      resize: (bounds) => pool.resize(bounds),
      terminate: (connection) => pool.terminate(connection),
      statistics() {
        asked.statistics++;
        return pool.statistics();
      },
      holders() {
        asked.holders++;
        return pool.holders();
      },
    };
  }

  override databases(): readonly ConsoleDatabase[] {
    return [this.#shown];
  }

  override httpClients(): readonly [] {
    return [];
  }

  override configuration(): object & Readonly<Record<string, unknown>> {
    this.asked.configuration++;
    return {};
  }

  override advice(): readonly Advice[] {
    return [];
  }

  override async refreshAdvice(): Promise<void> {
    this.asked.advice++;
  }

  override load(): undefined {
    return undefined;
  }

  override countStatements(): void {
    accessWhenUsed(this.#pool).tally.start();
  }

  override statements(): StatementList | undefined {
    this.asked.statements++;
    return accessWhenUsed(this.#pool).tally.list();
  }
}

interface Message {
  readonly event: string;
  readonly data: {
    readonly events: readonly { readonly kind: string; readonly text: string; readonly routine?: true }[];
    readonly databases: readonly {
      readonly statistics: { readonly inUse: number };
      readonly statements?: StatementList;
    }[];
    readonly histories: { readonly databases: readonly { readonly count: number; readonly columns: object }[] };
  };
}

/** Somebody who watches: a response that keeps what is written to it. */
class Watcher extends EventEmitter implements Viewer {
  readonly messages: Message[] = [];
  writableNeedDrain = false;
  ended = false;

  write(text: string): boolean {
    const [, event = '', data = ''] = /event: (\w+)\ndata: (.*)\n\n$/.exec(text) ?? [];
    this.messages.push({ event, data: JSON.parse(data) as Message['data'] });
    return true;
  }

  end(): void {
    this.ended = true;
  }

  events(): string[] {
    return this.messages.map(({ event }) => event);
  }
}

describe('the live feed', () => {
  let database: TestDatabase;
  let clock: ManualClock;
  let pool: DatabasePool;
  let source: CountingSource;
  let feed: LiveFeed;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterAll(() => database.drop());

  beforeEach(() => {
    clock = new ManualClock();
    pool = new DatabasePool('orders', { url: database.url, size: 2, maxOverflow: 0, leakDetectionMs: 20 });
    source = new CountingSource(pool);
    feed = new LiveFeed(source, { allowedActions: ['suspend'] }, clock);
    feed.start();
  });

  afterEach(async () => {
    feed.end();
    await pool.close({ deadlineMs: 0 });
  });

  function watch(): Watcher {
    const watcher = new Watcher();
    feed.add(watcher);
    return watcher;
  }

  it('looks at numbers only while nobody watches, once a second', async () => {
    await clock.advance(10_000);
    expect(source.asked).toEqual({ statistics: 11, holders: 0, advice: 0, configuration: 0, statements: 0 });
  });

  it('gives the last ten minutes first, and then what is new, one text a second for all', async () => {
    await clock.advance(700_000);
    const watchers = [watch(), watch()];
    await clock.advance(3_000);
    for (const { messages, events } of watchers.map((watcher) => ({
      messages: watcher.messages,
      events: watcher.events(),
    }))) {
      expect(events).toEqual(['hello', 'tick', 'tick', 'tick']);
      expect(messages[0]?.data.histories.databases[0]).toMatchObject({ count: 600 });
    }
    // Two hellos and three ticks: not one for each who watches.
    expect(source.asked.holders).toBe(5);
    expect(source.asked.advice).toBe(1);
  });

  it('gives the statements first, and then every five seconds', async () => {
    await clock.advance(1_000);
    await pool.query("select 'a value'");
    const watcher = watch();
    await clock.advance(7_000);
    const lists = watcher.messages.map(({ data }) => data.databases[0]?.statements?.statements.map(({ text }) => text));
    expect(lists.filter((list) => list !== undefined)).toEqual([['select ?'], ['select ?'], ['select ?']]);
    expect(lists).toHaveLength(8);
    expect(source.asked.statements).toBe(3);
  });

  it('lets who is too slow miss seconds, and forgets who has left', async () => {
    const slow = watch();
    slow.writableNeedDrain = true;
    await clock.advance(5_000);
    expect(slow.events()).toEqual(['hello']);
    slow.writableNeedDrain = false;
    await clock.advance(1_000);
    expect(slow.events()).toEqual(['hello', 'tick']);
    slow.emit('close');
    expect(feed.viewers).toBe(0);
    const before = source.asked.holders;
    await clock.advance(5_000);
    expect(source.asked.holders).toBe(before);
  });

  it('stays small when the server’s last words are long, and shows no control characters of theirs', async () => {
    const clock = new ManualClock();
    const broken = new DatabasePool(
      'broken',
      {
        url: database.url,
        onConnect: () => {
          throw new Error(`\u001b[2J${'x'.repeat(4_000_000)}`);
        },
        acquireTimeoutMs: 2_000,
      },
      { clock },
    );
    const source = new CountingSource(broken);
    const feed = new LiveFeed(source, {}, clock);
    feed.start();
    const failed = broken.query('select 1').catch((error: unknown) => error as Error);
    await vi.waitFor(() => expect(broken.statistics().connectErrors).toBeGreaterThan(0));
    const watcher = new Watcher();
    feed.add(watcher);
    for (let second = 0; second < 4; second++) await clock.advance(1_000);
    expect(((await failed) as Error).message.length).toBeLessThan(3_000);
    feed.end();
    await broken.close({ deadlineMs: 0 });
    expect(watcher.messages.length).toBeGreaterThan(3);
    const sent = watcher.messages.map((message) => JSON.stringify(message));
    expect(sent.join('').length).toBeLessThan(100_000);
    expect(sent.join('')).toContain('\\\\x1b[2Jxxx');
    expect(sent.join('')).toContain('(4000004 characters)');
  });

  it('stays small, and shows no control characters, whatever the server says and borrowers run', async () => {
    const say = (level: string): string =>
      `do $$begin raise ${level} using message = E'\\x1b[2J\\x07' || repeat('x', 4000000); end$$`;
    const clock = new ManualClock();
    const loud = new DatabasePool(
      'loud',
      {
        url: database.url,
        size: 2,
        maxOverflow: 0,
        acquireTimeoutMs: 2_000,
        leakDetectionMs: 100,
        // The server's own words: an error of the second connection, notices of the first.
        onConnect: async (client) => {
          await client.query(say('notice'));
          if (loud.statistics().opened > 0) await client.query(say('exception'));
        },
      },
      { clock },
    );
    const source = new CountingSource(loud);
    const feed = new LiveFeed(source, {}, clock);
    feed.start();
    const watcher = new Watcher();
    feed.add(watcher);
    const client = await loud.connect();
    const heard: string[] = [];
    client.on('notice', ({ message }) => heard.push(message as string));
    await client.query(`${say('notice')} /* \u001b[2J ${'y'.repeat(1_000_000)} */`);
    expect(heard.map((message) => message.length)).toEqual([4_000_005]);
    const failed = loud.query('select 1').catch((error: unknown) => error as Error);
    await vi.waitFor(() => expect(loud.statistics().connectErrors).toBeGreaterThan(0));
    for (let second = 0; second < 4; second++) await clock.advance(1_000);
    expect(await failed).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    feed.end();
    client.release();
    await loud.close({ deadlineMs: 0 });
    const sent = watcher.messages.map((message) => JSON.stringify(message)).join('');
    expect(sent).toContain('"kind":"leak"');
    expect(sent.length).toBeLessThan(100_000);
    // Neither as they are nor as JSON writes them.
    for (const character of ['\u001b', '\u0007', '\\u001b', '\\u0007']) {
      const at = sent.indexOf(character);
      expect(at < 0 ? '' : sent.slice(at - 200, at + 20)).toBe('');
    }
    expect(sent).toContain('\\\\x1b[2J\\\\x07xxx');
  });

  it('ends everybody, and looks no more', async () => {
    const watcher = watch();
    feed.end();
    expect(watcher.ended).toBe(true);
    expect(watch().ended).toBe(true);
    const before = source.asked.statistics;
    await clock.advance(10_000);
    expect(source.asked.statistics).toBe(before);
  });

  it('tells what has happened in words, and keeps leaks apart from what happens all the time', async () => {
    const watcher = watch();
    const client = await pool.connect();
    await vi.waitFor(() => expect(pool.statistics().leaks).toBe(1));
    await clock.advance(1_000);
    pool.suspend();
    await clock.advance(1_000);
    pool.resume();
    pool.resize({ size: 3 });
    client.release();
    await clock.advance(1_000);
    const told = watcher.messages.flatMap(({ event, data }) => (event === 'tick' ? data.events : []));
    expect(told.map(({ kind, text }) => `${kind}: ${text.replace(/\d+\.\d s/, 'a while')}`)).toEqual([
      'opened: 1 connection opened',
      expect.stringMatching(/^leak: connection 1 is not given back: held for a while by feed\.spec\.ts:\d+$/),
      'state: running → suspended',
      'state: suspended → running',
      'state: resized: at most 3 connections, before 2',
    ]);
    expect(told.filter(({ routine }) => routine === true)).toHaveLength(1);
    // Whoever comes later is told, too.
    expect(watch().messages[0]?.data.events).toHaveLength(5);
  });

  it('names a lease that was dropped and collected between two looks', async () => {
    const watcher = watch();
    await drop(pool);
    const { setFlagsFromString } = await import('node:v8');
    const { runInNewContext } = await import('node:vm');
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await vi.waitFor(
      () => {
        collect();
        expect(pool.statistics().closed.broken).toBe(1);
      },
      { interval: 20 },
    );
    await clock.advance(1_000);
    const told = watcher.messages.flatMap(({ data }) => data.events).filter(({ kind }) => kind === 'leak');
    expect(told.map(({ text }) => text)).toEqual([
      expect.stringMatching(
        /^connection 1 was dropped without being given back, and closed: held for .* by .*drop \(feed\.spec\.ts:\d+\)$/,
      ),
    ]);
  });
});

async function drop(pool: DatabasePool): Promise<void> {
  const client = await pool.connect();
  await client.query('select 1');
}
