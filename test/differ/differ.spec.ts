import { describeDifference, runDiffer } from './differ.js';
import { createTestDatabase } from '#test/support/database.js';
import { LITERALS } from './sql-values.js';

/** `DIFFER_SEED=…` for another run; `npm run differ` is the long form. */
const SEED = Number(process.env.DIFFER_SEED ?? 20_261_128);
const CASES = 300;

it(`${CASES} random queries give what they give with plain pg (seed ${SEED})`, async () => {
  await using database = await createTestDatabase();
  const report = await runDiffer({ seed: SEED, cases: CASES, url: database.url });
  expect(report.differences.map((difference) => describeDifference(difference, SEED))).toEqual([]);
  expect(report.queries).toBeGreaterThan(3 * CASES);
  expect(report.errors).toBeGreaterThan(CASES / 10);
  expect(report.preparedStatementHits).toBeGreaterThan(CASES);
}, 60_000);

/** Types of the server's own statistics, which take no input. */
const WITHOUT_INPUT = new Set([
  'pg_brin_bloom_summary',
  'pg_brin_minmax_multi_summary',
  'pg_dependencies',
  'pg_mcv_list',
  'pg_ndistinct',
  'pg_node_tree',
]);

it('every built-in type of the server is among those that are compared', async () => {
  await using database = await createTestDatabase();
  const rows = await database.query<{ name: string }>(
    `select typname as name from pg_type where typnamespace = 'pg_catalog'::regnamespace
       and typtype in ('b', 'r', 'm', 'e', 'd') and typelem = 0 order by 1`,
  );
  const missing = rows.map(({ name }) => name).filter((name) => !(name in LITERALS) && !WITHOUT_INPUT.has(name));
  expect(missing).toEqual([]);
  expect(rows.length).toBeGreaterThan(70);
});
