import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as diagnostics from '#pooling/core/diagnostics.js';
import * as errors from '#pooling/core/errors.js';
import * as tracingChannels from '#pooling/core/tracing-channels.js';
import { TRANSACTIONAL_RULES } from '#pooling/database/kysely/ambient/transactional-options.js';
import { resolveDatabaseOptions, type ResolvedDatabaseOptions } from '#pooling/database/options/options.js';
import { httpOptionProblems, resolveHttpClientOptions } from '#pooling/http/options.js';
import { METRIC_FAMILIES } from '#pooling/metrics/published-metric.js';
import { ROOT_OPTION_NAMES } from '#pooling/module/option-problems.js';
import { DATABASE_RULES } from '#pooling/database/options/option-rules.js';

const read = (file: string): string => readFileSync(join(import.meta.dirname, '..', file), 'utf8');

/** The rows of a document's table between two markers: their cells. */
function table(file: string, marker: string): string[][] {
  const [, text] = read(file).split(`<!-- ${marker} -->`);
  const [, ...rows] = (text ?? '')
    .split(`<!-- /${marker} -->`)[0]!
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s|-]+$/.test(line));
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const OPTIONS = 'docs/reference/options.md';

/** What stands between backticks. */
function code(cell: string | undefined): string {
  return /^`([^`]*)`/.exec(cell ?? '')?.[1] ?? '';
}

/** A value as the table writes it. */
function written(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`;
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([name, each]) => `${name}: ${written(each)}`)
    .join(', ')} }`;
}

/** A default as the table writes it. */
function defaultText(value: unknown): string {
  const isEmpty =
    value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
  return isEmpty ? '–' : `\`${written(value)}\``;
}

const known = (problems: readonly string[]): string[] =>
  (/known: (.*)$/m.exec(problems.join('\n'))?.[1] ?? '').split(', ');

describe('the reference', () => {
  describe('lists the database options', () => {
    const rows = table(OPTIONS, 'options:database');

    it('all of them, and no others', () => {
      expect(rows.map(([name]) => code(name)).toSorted()).toEqual(Object.keys(DATABASE_RULES).toSorted());
    });

    const described = new Set(['url', 'connection', 'hosts', 'applicationName', 'preset', 'quickReserve']);
    const presets = (['small', 'medium', 'high'] as const).map((preset) =>
      resolveDatabaseOptions('reference', { url: 'postgres://127.0.0.1/reference', preset }),
    );

    it.each(rows.filter(([name]) => !described.has(code(name))).map(([name, value]) => ({ name: code(name), value })))(
      '$name with its default',
      ({ name, value }) => {
        const texts = presets.map((resolved) => defaultText(resolved[name as keyof ResolvedDatabaseOptions]));
        expect(value?.replace('the same', texts[0] as string)).toBe(
          new Set(texts).size === 1 ? texts[0] : texts.join(' / '),
        );
      },
    );
  });

  it('lists the options of a transaction, all of them, and no others', () => {
    const rows = table(OPTIONS, 'options:transactional');
    expect(rows.map(([name]) => code(name)).toSorted()).toEqual(Object.keys(TRANSACTIONAL_RULES).toSorted());
  });

  describe('lists the HTTP options', () => {
    const rows = table(OPTIONS, 'options:http');

    it('all of them, and no others', () => {
      const names = known(httpOptionProblems({ nothingLikeIt: 1 }));
      expect(rows.map(([name]) => code(name)).toSorted()).toEqual(names.toSorted());
    });

    const { redirects, ...resolved } = resolveHttpClientOptions('reference');
    const defaults = { ...resolved, redirect: redirects === 0 ? false : redirects };

    it.each(rows.map(([name, value]) => ({ name: code(name), value })))('$name with its default', ({ name, value }) => {
      const actual = defaults[name as keyof typeof defaults];
      expect(value).toBe(defaultText(actual));
    });
  });

  it('lists the options of forRoot, all of them, and no others', () => {
    const rows = table(OPTIONS, 'options:module').map(([name]) => code(name));
    expect(rows.toSorted()).toEqual([...ROOT_OPTION_NAMES].toSorted());
  });

  it('lists every error, with its code', () => {
    const listed = table('docs/reference/errors.md', 'errors').map(
      ([errorCode, name]) => `${code(name)} ${code(errorCode)}`,
    );
    const answer = { statusCode: 500, headers: {}, body: '' };
    const actual = Object.entries(errors)
      .filter(([name, value]) => typeof value === 'function' && name.endsWith('Error') && name !== 'PoolingError')
      .flatMap(([name, value]) => {
        if (value === errors.PoolTransactionError)
          return errors.TRANSACTION_ERROR_CODES.map((each) => `${name} ${each}`);
        const made = new (value as unknown as new (...values: unknown[]) => errors.PoolingError)(
          'pool',
          'message',
          answer,
        );
        return `${name} ${made.code}`;
      });
    expect(listed.toSorted()).toEqual(actual.toSorted());
  });

  it('lists every series of the metrics', () => {
    expect(table('docs/reference/metrics.md', 'metrics').map(([name]) => code(name))).toEqual(
      METRIC_FAMILIES.map(({ name }) => name),
    );
  });

  it('lists every tracing channel', () => {
    const listed = table('docs/reference/events.md', 'tracing channels').map(([name]) => code(name));
    const channels = Object.keys(tracingChannels).map((name) => `nestjs-pooling:${name.replace(/Operations$/, '')}`);
    expect(listed.toSorted()).toEqual(channels.toSorted());
  });

  it('lists every channel', () => {
    const listed = table('docs/reference/events.md', 'channels').map(([name]) => code(name));
    const channels = Object.keys(diagnostics).map((name) => `nestjs-pooling:${name.replace(/Channel$/, '')}`);
    expect(listed.toSorted()).toEqual(channels.toSorted());
  });
});
