import { ManualClock } from '../../testing/manual-clock.js';
import { commonText } from './counted-text.js';
import { Statement } from './statement.js';
import { StatementTally, type ListedStatement } from './statement-tally.js';

let clock: ManualClock;
let tally: StatementTally;
beforeEach(() => {
  clock = new ManualClock();
  tally = new StatementTally(clock);
  tally.start();
});

/** Counts a run that takes so long. */
async function run(text: string, ms = 0, { rows = 1, error }: { rows?: number; error?: Error } = {}): Promise<void> {
  const statement = new Statement({} as never, undefined, text, 0, () => {});
  tally.begins(statement);
  await clock.advance(ms);
  tally.ended(statement, error, error === undefined ? ({ rows: [], rowCount: rows } as never) : undefined);
}

function listed(): readonly ListedStatement[] {
  return tally.list()?.statements ?? [];
}

describe('what is counted of statements', () => {
  it('is how often, how long, how many rows and failures, by what their texts have in common', async () => {
    await run("select * from orders where state = 'open'", 10, { rows: 3 });
    await run("select * from orders\n  where state = 'paid' -- why", 30, { rows: 1 });
    await run('select * from orders where state = $1', 5, { error: new Error('no') });
    expect(listed()).toMatchObject([
      { text: 'select * from orders where state = ?', count: 2, failed: 0, totalMs: 40, maxMs: 30, rows: 4 },
      { text: 'select * from orders where state = $1', count: 1, failed: 1, totalMs: 5, rows: 0 },
    ]);
    expect(listed()[0]?.p99Ms).toBeGreaterThan(25);
    expect(listed()[0]?.p99Ms).toBeLessThanOrEqual(30);
  });

  it('is of the last ten minutes', async () => {
    await run('select 1', 1);
    await clock.advance(300_000);
    await run('select 2', 1);
    expect(tally.list()).toMatchObject({ coveredMs: 300_002, known: 1, statements: [{ text: 'select ?', count: 2 }] });
    await clock.advance(360_000);
    expect(listed()).toMatchObject([{ count: 1 }]);
    await clock.advance(300_000);
    expect(tally.list()).toMatchObject({ coveredMs: 600_000, statements: [], known: 0 });
    await run('select 3', 7);
    expect(listed()).toMatchObject([{ count: 1, totalMs: 7, maxMs: 7 }]);
  });

  it('is of five hundred statements at the most, and of those used last', async () => {
    const name = (n: number): string => `t${n.toString(36)}x`;
    for (let n = 0; n < 400; n++) await run(`select * from ${name(n)}`);
    await clock.advance(130_000);
    for (let n = 400; n < 900; n++) await run(`select * from ${name(n)}`);
    const list = tally.list();
    expect(list?.known).toBe(500);
    expect(list?.statements).toHaveLength(100);
    await run(`select * from ${name(0)}`, 50);
    expect(listed()[0]).toMatchObject({ text: `select * from ${name(0)}`, count: 1, totalMs: 50 });
  });

  it('is found again by a text that was forgotten, and by one that is very long', async () => {
    for (let n = 0; n < 2_000; n++) await run(`select ${n}`);
    const long = `select '${'x'.repeat(100_000)}'`;
    await run(long);
    await run(long);
    expect(listed()).toMatchObject([{ text: 'select ?', count: 2_002 }]);
  });

  it('is nothing before somebody wants it', () => {
    const off = new StatementTally(clock);
    expect(off.on).toBe(false);
    expect(off.list()).toBeUndefined();
  });

  it('is how often a cursor, a stream or a COPY was begun, and no time: that is its reader’s', () => {
    tally.streams('copy orders to stdout');
    expect(listed()).toMatchObject([{ count: 1, totalMs: 0, p99Ms: 0, runs: { streamed: 1 } }]);
  });

  it('is shown with the plan of a slow statement, of which a long one is cut', async () => {
    await run('select * from orders where id = 7');
    tally.explained('select * from orders where id = 8', '→ Seq Scan on orders (cost 155, 9000 rows)');
    expect(listed()[0]?.plan).toBe('→ Seq Scan on orders (cost 155, 9000 rows)');
    tally.explained('select * from orders where id = 8', Array.from({ length: 70 }, () => '→').join('\n'));
    expect(listed()[0]?.plan?.split('\n')).toHaveLength(61);
    expect(listed()[0]?.plan).toMatch(/\n… 10 lines more$/);
  });
});

describe('what texts have in common', () => {
  it.each([
    ["select 'secret', 12, $tag$secret$tag$ from t", 'select ?, … from t'],
    ['select * from t where id in ($1, $2,$3)', 'select * from t where id in ($1, …)'],
    ['insert into t values ($1, $2), ($3, $4), ($5, $6)', 'insert into t values ($1, …), …'],
    ['insert into t values ($1), ($2)', 'insert into t values ($1), …'],
    ['  select\n\t1 /* secret */', 'select ?'],
    ['savepoint s17', 'savepoint'],
    ['ROLLBACK  TO SAVEPOINT s17', 'rollback to'],
    ['start transaction isolation level serializable', 'start transaction'],
    ['commit', 'commit'],
  ])('%s: %s', (text, common) => {
    expect(commonText(text)).toBe(common);
  });

  it('is cut, also in the middle of a literal, and shows no control characters', () => {
    expect(commonText(`select '${'s'.repeat(10_000)}'`)).toBe('select ?');
    const common = commonText(`select "\u001b[2J" from ${'t'.repeat(10_000)}`);
    expect(common).toMatch(/^select "\\x1b\[2J" from t+…$/);
    expect(common.length).toBeLessThan(520);
  });
});
