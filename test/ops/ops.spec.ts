import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { Test } from '@nestjs/testing';
import { PoolAdvisor, PoolingModule, PoolRegistry } from 'nestjs-pooling';
import { createTestDatabase } from '#test/support/database.js';
import { CountingServer } from '#test/support/http-server.js';
import { hasProgram, run } from '#test/support/tools.js';

const OPS = join(import.meta.dirname, '../../ops');
const promtool = await hasProgram('promtool', 'prometheus');

interface Target {
  readonly expr: string;
  readonly legendFormat: string;
  readonly refId: string;
  readonly datasource: { readonly type: string; readonly uid: string };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly id: null;
  readonly uid: null;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      name: string;
      type: string;
      query: string | { query: string };
      datasource?: { uid: string };
    }[];
  };
}

/** What a real application publishes: names of series, and of their labels. */
interface Published {
  readonly series: ReadonlySet<string>;
  readonly labels: ReadonlySet<string>;
}

let published: Published;
let dashboard: Dashboard;
let rules: string;

beforeAll(async () => {
  published = await scrapeApplication();
  dashboard = JSON.parse(await readFile(join(OPS, 'grafana/nestjs-pooling.json'), 'utf8')) as Dashboard;
  rules = await readFile(join(OPS, 'prometheus/rules.yml'), 'utf8');
});

/** Runs an application in which every series has a value, and reads its metrics as Prometheus does. */
async function scrapeApplication(): Promise<Published> {
  await using database = await createTestDatabase();
  await using upstream = await CountingServer.listen((_request, response) => response.end('{}'));
  const testing = await Test.createTestingModule({
    imports: [PoolingModule.forRoot({ database: { url: database.url, leakDetectionMs: 10 } })],
  }).compile();
  const application = testing.createNestApplication({ logger: false });
  await application.listen(0, '127.0.0.1');
  try {
    const registry = application.get(PoolRegistry);
    const pool = registry.database();
    const leaking = await pool.connect();
    await vi.waitFor(() => expect(pool.statistics().leaks).toBe(1));
    await pool.query('select 1');
    await registry.http().get(upstream.url);
    await application.get(PoolAdvisor).advise();
    const { port } = application.getHttpServer().address() as AddressInfo;
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    leaking.release();
    const series = new Set(Array.from(text.matchAll(/^([a-z_]+)[{ ]/gm), ([, name]) => name as string));
    // It needs five seconds of load, and its shape is that of the others.
    expect(text).toContain('# TYPE db_pool_recommended_size gauge');
    series.add('db_pool_recommended_size');
    const labels = new Set(Array.from(text.matchAll(/[{,]([a-z_]+)="/g), ([, label]) => label as string));
    return { series, labels };
  } finally {
    await application.close();
  }
}

/** The series of ours that an expression reads. */
function seriesIn(expression: string): string[] {
  const recorded = expression.replaceAll(/\bpool:[a-z_:0-9]+/g, '');
  return Array.from(recorded.matchAll(/\b(?:db|http)_(?:pool|client)_[a-z_]+\b/g), ([name]) => name);
}

/** The labels that an expression selects or groups by. */
function labelsIn(expression: string): string[] {
  const grouped = Array.from(expression.matchAll(/\b(?:by|without) ?\(([^)]*)\)/g), ([, names]) =>
    (names as string).split(','),
  );
  const selected = Array.from(expression.matchAll(/[{,] ?([a-z_]+)=~?"/g), ([, name]) => name as string);
  return [...grouped.flat(), ...selected].map((name) => name.trim());
}

describe('the Grafana dashboard', () => {
  const targets = (): readonly Target[] => dashboard.panels.flatMap((panel) => panel.targets ?? []);

  it('reads only series and labels that a real application publishes', () => {
    const known = new Set([...published.labels, 'job', 'instance', 'le', '__name__']);
    for (const { expr, legendFormat } of targets()) {
      const series = seriesIn(expr);
      expect(series, expr).not.toEqual([]);
      expect(
        series.filter((name) => !published.series.has(name)),
        expr,
      ).toEqual([]);
      const legend = Array.from(legendFormat.matchAll(/\{\{([a-z_]+)\}\}/g), ([, label]) => label as string);
      expect(
        [...labelsIn(expr), ...legend].filter((label) => !known.has(label)),
        expr,
      ).toEqual([]);
    }
  });

  it('shows every series that is published', () => {
    const shown = new Set(targets().flatMap(({ expr }) => seriesIn(expr)));
    const families = [...published.series]
      .filter((name) => /^(db|http)_/.test(name) && !/_(sum|count|bucket)$/.test(name))
      .filter((name) => !shown.has(name));
    expect(families).toEqual(['db_pool_size']);
  });

  it('names no data source, no dashboard and no application of ours', () => {
    const { id, uid, templating, panels } = dashboard;
    expect({ id, uid }).toEqual({ id: null, uid: null });
    const [source, ...variables] = templating.list;
    expect(source).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus' });
    expect(variables.map(({ name }) => name)).toEqual(['job', 'instance', 'pool', 'origin']);
    for (const { datasource } of [...variables, ...panels.filter(({ type }) => type !== 'row'), ...targets()]) {
      expect(datasource?.uid).toBe('${datasource}');
    }
    for (const { expr } of targets()) expect(expr).toMatch(/job=~"\$job", instance=~"\$instance"/);
  });

  it('is one that Grafana 10 and later can draw: ids differ, panels stand beside each other, each says what it shows', () => {
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(38);
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Set<string>();
    for (const { title, type, gridPos, description, targets: own } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`), title).toBe(false);
          taken.add(`${x},${y}`);
        }
      }
      if (type === 'row') continue;
      expect(description, title).toMatch(/\.$/);
      expect(new Set(own?.map(({ refId }) => refId)).size, title).toBe(own?.length);
    }
  });

  it.skipIf(!promtool)('has only expressions that Prometheus can parse (needs promtool)', async () => {
    const variables = { __rate_interval: '1m', __range: '1h' };
    const parsed = targets().map(({ expr }, at) => ({
      record: `panel:${at}`,
      expr: Object.entries(variables).reduce((text, [name, value]) => text.replaceAll(`$${name}`, value), expr),
    }));
    const folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
    try {
      const file = join(folder, 'expressions.yml');
      // JSON is YAML.
      await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: parsed }] }));
      const { stdout } = await run('promtool', ['check', 'rules', file]);
      expect(stdout).toContain(`SUCCESS: ${parsed.length} rules found`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the Prometheus rules', () => {
  it('read only series that a real application publishes, and records of their own', () => {
    const expressions = Array.from(
      rules.matchAll(/expr: >-\n((?: {10}.*\n)+)|expr: (.*)/g),
      ([, folded, line]) => folded ?? line ?? '',
    );
    expect(expressions.length).toBeGreaterThan(10);
    const records = new Set(Array.from(rules.matchAll(/record: (\S+)/g), ([, name]) => name));
    for (const expression of expressions) {
      expect(
        seriesIn(expression).filter((name) => !published.series.has(name)),
        expression,
      ).toEqual([]);
      for (const [record] of expression.matchAll(/\bpool:[a-z_:0-9]+/g)) expect(records).toContain(record);
    }
  });

  it.skipIf(!promtool)('are accepted by Prometheus (needs promtool)', async () => {
    const { stdout } = await run('promtool', ['check', 'rules', join(OPS, 'prometheus/rules.yml')]);
    expect(stdout).toContain('SUCCESS: 13 rules found');
  });

  it.skipIf(!promtool)('fire when they should, and are silent in health (needs promtool)', async () => {
    const { stdout } = await run('promtool', ['test', 'rules', 'rules.test.yml'], { cwd: join(OPS, 'prometheus') });
    expect(stdout).toContain('SUCCESS');
    const tests = await readFile(join(OPS, 'prometheus/rules.test.yml'), 'utf8');
    for (const [, alert] of rules.matchAll(/alert: (\S+)/g)) {
      expect(tests, alert).toMatch(new RegExp(`alertname: ${alert}\\n\\s+exp_alerts:`));
      expect(tests, alert).toMatch(new RegExp(`\\{ eval_time: 59m, alertname: ${alert} \\}`));
    }
  });
});
