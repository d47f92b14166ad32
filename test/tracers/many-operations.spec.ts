import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';

const database = useTestDatabase();

/** `TRACER_OPERATIONS=10000` for the long form. */
const OPERATIONS = Number(process.env['TRACER_OPERATIONS'] ?? 160);

const CONVENTIONAL: ReadonlySet<unknown> = new Set(
  Object.entries(conventions).flatMap(([name, value]) => (name.startsWith('ATTR_') ? [value] : [])),
);

interface Found {
  readonly counts: Readonly<Record<string, readonly [operations: number, found: number, wanted: number]>>;
  readonly wrong: readonly string[];
  readonly open: number;
  readonly strangers: number;
  readonly attributes: readonly string[];
}

it.each(['sdk', 'opentelemetry', 'datadog', 'sentry'])(
  'under %s each of many statements and requests has as many spans as it should, ended, under its caller',
  async (tracer) => {
    const setUp = new URL(`./set-ups/${tracer}.mjs`, import.meta.url).pathname;
    const child = runTypeScript(new URL('./programs/many-operations.ts', import.meta.url), {
      nodeOptions: ['--import', setUp],
      env: { DATABASE_URL: database.url, TRACER: tracer, OPERATIONS: String(OPERATIONS) },
    });
    onTestFinished(() => void child.process.kill('SIGKILL'));
    const [, printed] = await child.prints(/FOUND (.*)\n/);
    const { counts, wrong, open, strangers, attributes } = JSON.parse(printed as string) as Found;
    console.log(`${tracer}: ${JSON.stringify(counts)}`);
    expect({ wrong, open, strangers }).toEqual({ wrong: [], open: 0, strangers: 0 });
    const operations = Object.values(counts).reduce((sum, [count]) => sum + count, 0);
    expect(operations).toBe(2 * OPERATIONS);
    const unknown = attributes.filter((name) => !CONVENTIONAL.has(name) && !name.startsWith('nestjs_pooling.'));
    expect(unknown).toEqual([]);
  },
  OPERATIONS * 30 + 60_000,
);
