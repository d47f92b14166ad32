import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ADVICE_CODES } from '#pooling/advice/advice.js';
import { sizeForLoad } from '#pooling/advice/sizing.js';
import { CLOSE_REASONS } from '#pooling/core/statistics.js';
import { DATABASE_RULES } from '#pooling/database/options/option-rules.js';
import { resolveHttpClientOptions } from '#pooling/http/options.js';
import { METRIC_FAMILIES } from '#pooling/metrics/published-metric.js';
import { listDocuments } from './documents/documents.js';
import { findPgBouncer, versionOf } from './pgbouncer/pgbouncer.js';
import { runTypeScript } from '#test/support/child.js';
import { createTestDatabase } from '#test/support/database.js';

const ROOT = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
/** Every class of an error. */
const ERRORS = 'libs/pooling/src/core/errors';
const documents = listDocuments();

function matches(text: string, pattern: RegExp): string[] {
  return Array.from(text.matchAll(pattern), ([whole, group]) => group ?? whole);
}

/** A heading as GitHub and npm link to it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchorsOf(text: string): string[] {
  return matches(text, /^#+ (.*)$/gm).map(anchorOf);
}

describe('the troubleshooting page shows what an application in that trouble shows', { timeout: 180_000 }, () => {
  /** What is the same in each run: not numbers, folders, the name of the database, nor the handler that newer Nodes know. */
  function lasting(text: string): string {
    return text
      .replaceAll(/ by OrdersController\.\w+(?=: | \()|,\n {2}label: '.*'/g, '')
      .replaceAll(/\/\S*\/(?=\w+\.ts)/g, '')
      .replaceAll(/test_[0-9a-f]{32}/g, 'shop')
      .replaceAll(/\d+(\.\d+)?( ms\b)?/g, (_number, _fraction, ms?: string) => (ms === undefined ? '0' : '0 s'))
      .trim();
  }

  const written = new Map(
    Array.from(
      read('docs/troubleshooting.md').matchAll(/<!-- shown: (\S+) -->\n\n```\w*\n([\s\S]*?)```/g),
      ([, name, block]) => [name as string, lasting(block as string)] as const,
    ),
  );
  let shown: Map<string, string>;

  beforeAll(async () => {
    await using database = await createTestDatabase();
    const child = runTypeScript(new URL('./observability/troubles/main.ts', import.meta.url), {
      env: { DATABASE_URL: database.url },
    });
    expect((await child.ended).code, child.output()).toBe(0);
    shown = new Map(
      child
        .output()
        .split(/^--- /m)
        .slice(1)
        .map((block) => {
          const end = block.indexOf('\n');
          return [block.slice(0, end), lasting(block.slice(end))] as const;
        }),
    );
  }, 170_000);

  it.each([...written.keys()])('%s', (name) => {
    const pgbouncer = findPgBouncer();
    const knowsPrepared = pgbouncer === undefined || versionOf(pgbouncer) >= '1.21';
    if (name === 'pgbouncer:error' && knowsPrepared) return expect(shown.has(name)).toBe(false);
    expect(written.get(name)).toBe(shown.get(name));
  });

  it('all of it', () => {
    expect([...shown.keys()].filter((name) => !written.has(name))).toEqual([]);
  });
});

describe.each(documents)('$name', ({ name, text }) => {
  it('names only errors that exist', () => {
    const known = new Set(
      readdirSync(join(ROOT, ERRORS)).flatMap((file) => matches(read(join(ERRORS, file)), /ERR_[A-Z_]+/g)),
    );
    expect(matches(text, /\bERR_(?:POOL|HTTP)_[A-Z_]+\b/g).filter((code) => !known.has(code))).toEqual([]);
  });

  it('names only series that are published', () => {
    const known = new Set(
      METRIC_FAMILIES.flatMap(({ name: family }) => [family, `${family}_sum`, `${family}_count`, `${family}_bucket`]),
    );
    const named = matches(text, /\b(?:db_pool|http_pool|http_client)_[a-z_]+[a-z]\b/g);
    expect(named.filter((series) => !known.has(series))).toEqual([]);
  });

  it('leads nowhere but to files and chapters that exist', () => {
    const links = matches(text, /\]\(((?!https?:)[^)\s]+)\)/g);
    for (const link of links) {
      const [file, anchor] = link.split('#') as [string, string | undefined];
      const path = file === '' ? name : join(dirname(name), file);
      expect(existsSync(join(ROOT, path)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(read(path)), link).toContain(anchor);
    }
  });
});

it('the README shows an error as the troubleshooting page does', () => {
  const [, shown] =
    /<!-- shown in docs\/troubleshooting.md -->\n\n(```text\n[\s\S]*?```)/.exec(read('README.md')) ?? [];
  expect(shown).toContain('PoolAcquireTimeoutError');
  expect(read('docs/troubleshooting.md')).toContain(shown);
});

describe('the README', () => {
  const WORKLOADS = new Map([
    ['select by key', 'select-by-key'],
    ['join of four tables', 'four-table-join'],
    ['transaction of four statements', 'transaction'],
  ]);
  const CANDIDATES = [
    'nestjs-pooling',
    'nestjs-pooling, kept queries',
    'nestjs-pooling, pipelining',
    'postgres.js',
  ] as const;
  const rows = matches(read('README.md').split('<!-- measured -->')[1]!.split('<!-- /measured -->')[0]!, /^\| \w.*$/gm)
    .slice(1)
    .map((row) => row.split('|').map((cell) => cell.trim()));

  it.each(rows.map(([, workload, ...ratios]) => ({ workload: workload as string, ratios })))(
    'gives the ratios of the last run for $workload',
    ({ workload, ratios }) => {
      const [, chapter] = read('docs/benchmarks/database.md').split(
        `### ${WORKLOADS.get(workload)}, 64 callers, pool of 10\n`,
      );
      const measured = CANDIDATES.map((candidate) => {
        const row = chapter!
          .split('\n### ')[0]!
          .split('\n')
          .find((line) => line.startsWith(`| ${candidate} |`));
        return Number(row!.split('|')[2]).toFixed(2);
      });
      expect(ratios.filter((cell) => cell !== '')).toEqual(measured);
    },
  );
});

it('CONTRIBUTING names only files and folders that exist', () => {
  const paths = matches(read('CONTRIBUTING.md'), /`((?:\.{0,1}[\w-]+\/)+[\w./-]*)`/g).filter(
    (path) => !path.startsWith('dist/'),
  );
  expect(paths.length).toBeGreaterThan(40);
  const missing = paths.filter(
    (path) => !['', 'libs/pooling/', 'libs/pooling/src/'].some((root) => existsSync(join(ROOT, root, path))),
  );
  expect(missing).toEqual([]);
});

/** Those that this repository's operators read. */
const OPERATORS = ['docs/observability.md', 'docs/sizing.md', 'docs/troubleshooting.md'];

describe.each(OPERATORS)('%s', (name) => {
  it('names only options and fields that exist', () => {
    const http = resolveHttpClientOptions('documents');
    const fields = matches(
      [
        'core/diagnostics',
        'core/holders',
        'database/database-events',
        'database/options/database-options',
        'database/query/slow-queries',
        'module/log-throttle',
        'module/module-options',
        'advice/sizing',
      ]
        .map((file) => read(`libs/pooling/src/${file}.ts`))
        .join(),
      /readonly (\w+Ms)\b/g,
    );
    const options = [...Object.keys(DATABASE_RULES), ...Object.keys(http), ...Object.keys(http.timeouts)];
    const known = new Set([...options, ...fields]);
    const named = matches(read(name), /`[^`\n]*`/g).flatMap((code) => matches(code, /\b[a-z]+[A-Za-z]*Ms\b/g));
    expect(named.filter((option) => !known.has(option))).toEqual([]);
  });
});

describe('the sizes in docs/sizing.md', () => {
  const rows = matches(read('docs/sizing.md').split('<!-- sizes -->')[1]!.split('<!-- /sizes -->')[0]!, /^\| \d.*$/gm);

  it.each(rows)('%s', (row) => {
    const [acquiresPerSecond, meanUseMs, meanInUse, waitTargetMs, size, percent] = matches(row, /[\d.]+/g).map(Number);
    const sized = sizeForLoad({
      acquiresPerSecond: acquiresPerSecond as number,
      meanUseMs: meanUseMs as number,
      waitTargetMs: waitTargetMs as number,
    });
    expect(sized).toMatchObject({ size, meanInUse });
    expect(Math.round(sized.utilisation * 100)).toBe(percent);
  });
});

describe('the documents for operators', () => {
  it('list every finding of the advisor', () => {
    const text = read('docs/observability.md');
    expect(ADVICE_CODES.filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
    const named = documents.flatMap(({ text: each }) =>
      matches(each, /\b(?:POOL_(?:EXCEEDS|TOO|PER)_[A-Z]+|[A-Z]+_SUSPECTED)\b/g),
    );
    expect(named.filter((code) => !(ADVICE_CODES as readonly string[]).includes(code))).toEqual([]);
  });

  it('tell what each reason of a closing means', () => {
    const text = read('docs/observability.md');
    expect(CLOSE_REASONS.filter((reason) => !text.includes(`\`${reason}\``))).toEqual([]);
  });

  it('are where the alerts lead to', () => {
    for (const link of matches(read('ops/prometheus/rules.yml'), /runbook: (\S+)/g)) {
      const [file, anchor] = link.split('#') as [string, string | undefined];
      if (anchor !== undefined) expect(anchorsOf(read(file)), link).toContain(anchor);
      expect(existsSync(join(ROOT, file)), link).toBe(true);
    }
  });
});
