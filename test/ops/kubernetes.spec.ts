import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { readSettings } from '../../apps/demo/src/settings.js';
import { DATABASE_DEFAULTS } from '#pooling/database/options/database-defaults.js';
import { DATABASE_FAMILIES } from '#pooling/metrics/database-families.js';
import { kustomization, manifest, type Manifest } from './kubernetes-schemas.js';

const OPS = join(import.meta.dirname, '../../ops');
const FOLDER = join(OPS, 'kubernetes');
const read = (file: string): string => readFileSync(join(FOLDER, file), 'utf8');
const files = readdirSync(FOLDER).filter((file) => file !== 'kustomization.yaml');
const documents = files.flatMap((file) =>
  parseAllDocuments(read(file)).map((document) => ({ file, json: document.toJS() as unknown })),
);
const manifests = documents.map(({ json }) => manifest.parse(json));

function only<Kind extends ReturnType<typeof manifest.parse>['kind']>(kind: Kind, name?: string): Manifest<Kind> {
  const found = manifests.filter((each) => each.kind === kind && (name === undefined || each.metadata.name === name));
  expect(found).toHaveLength(1);
  return found[0] as Manifest<Kind>;
}

const shop = only('Deployment', 'shop');
const container = shop.spec.template.spec.containers[0]!;
const variables = Object.fromEntries(
  container.env!.map(({ name, value }) => [name, value ?? 'postgres://shop@shop-db-rw:5432/shop']),
);
const settings = readSettings(variables);

describe('the manifests for Kubernetes', () => {
  it('are all listed, and have only fields that there are', () => {
    const { resources } = kustomization.parse(parse(read('kustomization.yaml')));
    expect(resources.toSorted()).toEqual(files.toSorted());
    for (const { json } of documents) expect(() => manifest.parse(json)).not.toThrow();
  });

  it('would be refused with a field or a value that there isn’t', () => {
    const wrong = structuredClone(shop) as { spec: { template: { spec: Record<string, unknown> } } };
    wrong.spec.template.spec['terminationGracePeriod'] = 50;
    expect(manifest.safeParse(wrong).success).toBe(false);
    expect(manifest.safeParse({ ...shop, apiVersion: 'apps/v1beta1' }).success).toBe(false);
  });

  it('give the shop variables that it reads, and the port that it listens on', () => {
    const known = readFileSync(join(import.meta.dirname, '../../apps/demo/src/settings.ts'), 'utf8');
    for (const name of Object.keys(variables)) expect(known).toMatch(new RegExp(`^  ${name}: `, 'm'));
    expect(settings.host).toBe('0.0.0.0');
    expect(container.ports).toEqual([{ name: 'http', containerPort: settings.port }]);
    expect(settings.databaseBudget).toBe(100);
  });

  it('ask the routes that the shop has', () => {
    const module = readFileSync(join(import.meta.dirname, '../../apps/demo/src/app.module.ts'), 'utf8');
    const health = /health: \{ path: '(\w+)' \}/.exec(module)![1];
    const controller = readFileSync(
      join(import.meta.dirname, '../../libs/pooling/src/health/health.controller.ts'),
      'utf8',
    );
    const routes = [...controller.matchAll(/@Get\('(\w+)'\)/g)].map(([, route]) => `/${health}/${route}`);
    const { startupProbe, livenessProbe, readinessProbe } = container;
    const asked = [startupProbe, livenessProbe, readinessProbe].map(
      (probe) => (probe as typeof livenessProbe)?.httpGet,
    );
    expect(asked.map((get) => get?.path)).toEqual(['/health/live', '/health/live', '/health/ready']);
    for (const get of asked) {
      expect(routes).toContain(get?.path);
      expect(container.ports.map(({ name }) => name)).toContain(get?.port);
    }
    const { endpoints } = only('ServiceMonitor').spec;
    expect(endpoints.map(({ path }) => path)).toEqual([/metrics: \{ path: '([/\w]+)'/.exec(module)![1]]);
  });

  it('leave time for the shutdown', () => {
    const shutdown = readFileSync(join(import.meta.dirname, '../../libs/pooling/src/module/shutdown.ts'), 'utf8');
    const timeoutMs = Number(/DEFAULTS[^;]*timeoutMs: ([\d_]+)/.exec(shutdown)![1]!.replaceAll('_', ''));
    const longestRequestMs = 30_000;
    const { terminationGracePeriodSeconds } = shop.spec.template.spec;
    expect(terminationGracePeriodSeconds * 1_000).toBeGreaterThan(
      settings.drainDelayMs + longestRequestMs + timeoutMs + 1_000,
    );
    // Readiness has to be seen as red by then, though what counts is that endpoints leave at the deletion.
    expect(settings.drainDelayMs).toBeGreaterThanOrEqual(2_000);
  });

  it('give the server room for the budget, for those that start at once, and for what is reserved', () => {
    const { parameters } = only('Cluster').spec.postgresql;
    const { min } = DATABASE_DEFAULTS.budget;
    const { maxSurge } = shop.spec.strategy!.rollingUpdate;
    const replication = 2 * only('Cluster').spec.instances;
    const needed =
      settings.databaseBudget! + min * maxSurge + Number(parameters['superuser_reserved_connections']) + replication;
    expect(Number(parameters['max_connections'])).toBeGreaterThanOrEqual(needed);
    expect(parameters).toHaveProperty('tcp_keepalives_idle');
    const { maxReplicas, minReplicas } = only('HorizontalPodAutoscaler').spec;
    expect(minReplicas).toBeGreaterThanOrEqual(2);
    expect(maxReplicas * min).toBeLessThanOrEqual(settings.databaseBudget!);
  });

  it('scale by a metric that is published', () => {
    const { metrics } = only('HorizontalPodAutoscaler').spec;
    const names = metrics.map((metric) => (metric.type === 'Pods' ? metric.pods.metric.name : metric.resource.name));
    expect(names).toEqual(['cpu', 'db_pool_waiting']);
    expect(DATABASE_FAMILIES.map(({ name }) => name)).toContain('db_pool_waiting');
    expect(only('HorizontalPodAutoscaler').spec.scaleTargetRef.name).toBe(shop.metadata.name);
  });

  it('select pods that there are', () => {
    const podLabels = manifests
      .filter((each) => each.kind === 'Deployment')
      .map((each) => each.spec.template.metadata.labels);
    const selectors = manifests.flatMap((each) => {
      if (each.kind === 'Deployment' || each.kind === 'PodDisruptionBudget') return [each.spec.selector.matchLabels];
      return each.kind === 'Service' ? [each.spec.selector] : [];
    });
    expect(selectors.length).toBeGreaterThanOrEqual(5);
    for (const selector of selectors) expect(podLabels).toContainEqual(selector);
    expect(only('Service', 'shop').metadata.labels).toEqual(only('ServiceMonitor').spec.selector.matchLabels);
  });

  it('set PgBouncer to transactions, with as many prepared statements as a pool keeps, on one port throughout', () => {
    const ini = only('ConfigMap').data['pgbouncer.ini']!;
    const value = (key: string): string | undefined => new RegExp(`^${key} = (.*)$`, 'm').exec(ini)?.[1];
    const statements = String(DATABASE_DEFAULTS.preparedStatements.max);
    expect(value('pool_mode')).toBe('transaction');
    expect(value('max_prepared_statements')).toBe(statements);
    const { poolMode, parameters } = only('Pooler').spec.pgbouncer;
    expect(poolMode).toBe('transaction');
    expect(parameters['max_prepared_statements']).toBe(statements);
    const deployment = only('Deployment', 'pgbouncer').spec.template.spec.containers[0]!;
    const service = only('Service', 'pgbouncer').spec.ports[0]!;
    expect([deployment.ports[0]!.containerPort, service.port].map(String)).toEqual([
      value('listen_port'),
      value('listen_port'),
    ]);
    const [, major, minor] = /:(\d+)\.(\d+)/.exec(deployment.image)!;
    expect(Number(major) * 100 + Number(minor)).toBeGreaterThanOrEqual(121);
    expect(only('Pooler').spec.cluster.name).toBe(only('Cluster').metadata.name);
    expect(value('shop')).toBe(`host=${only('Cluster').metadata.name}-rw port=5432`);
    // Both poolers of one server, and what they may open together.
    const pools = Number(value('default_pool_size')) * only('Deployment', 'pgbouncer').spec.replicas!;
    expect(pools).toBeLessThanOrEqual(100);
    expect(Number(parameters['default_pool_size']) * only('Pooler').spec.instances).toBeLessThanOrEqual(100);
  });

  it('have the rules of ops/prometheus', () => {
    const rules = parse(readFileSync(join(OPS, 'prometheus/rules.yml'), 'utf8')) as { groups: unknown };
    expect(only('PrometheusRule').spec.groups).toEqual(rules.groups);
  });
});
