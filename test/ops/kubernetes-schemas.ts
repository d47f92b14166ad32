import { z } from 'zod';

/**
 * What the fields that the manifests use may be, as the API reference of Kubernetes 1.29 and later, CloudNativePG 1.24 and
 * the Prometheus operator say. Strict: a field that isn't here is a mistake, or has to be added here.
 */

const name = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/);
const labels = z.record(z.string().regex(/^(?:[a-z0-9.-]+\/)?[A-Za-z0-9._-]+$/), z.string().max(63));
const metadata = z.strictObject({ name, labels: labels.optional() });
const seconds = z.int().min(1);
const cpu = z.string().regex(/^\d+m?$/);
const memory = z.string().regex(/^\d+(?:Mi|Gi)$/);
const portNumber = z.int().min(1).max(65_535);
/** An IANA service name. */
const portName = z.string().regex(/^(?=.{1,15}$)[a-z0-9-]*[a-z][a-z0-9-]*$/);
const selector = z.strictObject({ matchLabels: labels });
const texts = z.record(z.string(), z.string());

const handler = {
  periodSeconds: seconds.optional(),
  timeoutSeconds: seconds.optional(),
  failureThreshold: z.int().min(1).optional(),
};
const httpProbe = z.strictObject({
  httpGet: z.strictObject({ path: z.string().startsWith('/'), port: portName }),
  ...handler,
});
const tcpProbe = z.strictObject({ tcpSocket: z.strictObject({ port: portName }), ...handler });

const variable = z.strictObject({
  name: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
  value: z.string().optional(),
  valueFrom: z.strictObject({ secretKeyRef: z.strictObject({ name, key: z.string().min(1) }) }).optional(),
});

const container = z.strictObject({
  name,
  image: z.string().min(1),
  args: z.array(z.string()).optional(),
  env: z.array(variable).optional(),
  ports: z.array(z.strictObject({ name: portName, containerPort: portNumber })),
  startupProbe: httpProbe.optional(),
  livenessProbe: httpProbe.optional(),
  readinessProbe: z.union([httpProbe, tcpProbe]),
  resources: z.strictObject({
    requests: z.strictObject({ cpu, memory }),
    limits: z.strictObject({ memory }),
  }),
  volumeMounts: z
    .array(
      z.strictObject({
        name,
        mountPath: z.string().startsWith('/'),
        subPath: z.string().optional(),
        readOnly: z.boolean().optional(),
      }),
    )
    .optional(),
});

const volume = z.union([
  z.strictObject({ name, configMap: z.strictObject({ name }) }),
  z.strictObject({ name, secret: z.strictObject({ secretName: name }) }),
]);

const deployment = z.strictObject({
  apiVersion: z.literal('apps/v1'),
  kind: z.literal('Deployment'),
  metadata,
  spec: z.strictObject({
    replicas: z.int().min(1).optional(),
    selector,
    strategy: z
      .strictObject({
        type: z.literal('RollingUpdate'),
        rollingUpdate: z.strictObject({ maxSurge: z.int().min(0), maxUnavailable: z.int().min(0) }),
      })
      .optional(),
    template: z.strictObject({
      metadata: z.strictObject({ labels }),
      spec: z.strictObject({
        terminationGracePeriodSeconds: seconds,
        containers: z.array(container).min(1),
        volumes: z.array(volume).optional(),
      }),
    }),
  }),
});

const service = z.strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('Service'),
  metadata,
  spec: z.strictObject({
    selector: labels,
    ports: z.array(z.strictObject({ name: portName, port: portNumber, targetPort: portName })).min(1),
  }),
});

const resourceMetric = z.strictObject({
  type: z.literal('Resource'),
  resource: z.strictObject({
    name: z.enum(['cpu', 'memory']),
    target: z.strictObject({ type: z.literal('Utilization'), averageUtilization: z.int().min(1) }),
  }),
});
const podsMetric = z.strictObject({
  type: z.literal('Pods'),
  pods: z.strictObject({
    metric: z.strictObject({ name: z.string() }),
    target: z.strictObject({ type: z.literal('AverageValue'), averageValue: z.string().regex(/^\d+m?$/) }),
  }),
});

const autoscaler = z.strictObject({
  apiVersion: z.literal('autoscaling/v2'),
  kind: z.literal('HorizontalPodAutoscaler'),
  metadata,
  spec: z.strictObject({
    scaleTargetRef: z.strictObject({ apiVersion: z.literal('apps/v1'), kind: z.literal('Deployment'), name }),
    minReplicas: z.int().min(1),
    maxReplicas: z.int().min(1),
    metrics: z.array(z.union([resourceMetric, podsMetric])).min(1),
    behavior: z.strictObject({
      scaleDown: z.strictObject({ stabilizationWindowSeconds: z.int().min(0).max(3_600) }),
    }),
  }),
});

const disruptionBudget = z.strictObject({
  apiVersion: z.literal('policy/v1'),
  kind: z.literal('PodDisruptionBudget'),
  metadata,
  spec: z.strictObject({ maxUnavailable: z.int().min(1), selector }),
});

const cluster = z.strictObject({
  apiVersion: z.literal('postgresql.cnpg.io/v1'),
  kind: z.literal('Cluster'),
  metadata,
  spec: z.strictObject({
    instances: z.int().min(1),
    bootstrap: z.strictObject({ initdb: z.strictObject({ database: z.string(), owner: z.string() }) }),
    storage: z.strictObject({ size: memory }),
    postgresql: z.strictObject({ parameters: texts }),
  }),
});

const pooler = z.strictObject({
  apiVersion: z.literal('postgresql.cnpg.io/v1'),
  kind: z.literal('Pooler'),
  metadata,
  spec: z.strictObject({
    cluster: z.strictObject({ name }),
    type: z.enum(['rw', 'ro', 'r']),
    instances: z.int().min(1),
    pgbouncer: z.strictObject({ poolMode: z.enum(['session', 'transaction']), parameters: texts }),
  }),
});

const serviceMonitor = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('ServiceMonitor'),
  metadata,
  spec: z.strictObject({
    selector,
    endpoints: z.array(
      z.strictObject({ port: portName, path: z.string().startsWith('/'), interval: z.string().regex(/^\d+s$/) }),
    ),
  }),
});

const prometheusRule = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('PrometheusRule'),
  metadata,
  spec: z.strictObject({
    groups: z.array(
      z.strictObject({
        name: z.string(),
        rules: z.array(
          z.union([
            z.strictObject({ record: z.string(), expr: z.string() }),
            z.strictObject({
              alert: z.string(),
              expr: z.string(),
              for: z.string().optional(),
              labels: texts,
              annotations: texts,
            }),
          ]),
        ),
      }),
    ),
  }),
});

const namespace = z.strictObject({ apiVersion: z.literal('v1'), kind: z.literal('Namespace'), metadata });
const configMap = z.strictObject({ apiVersion: z.literal('v1'), kind: z.literal('ConfigMap'), metadata, data: texts });

/** `kustomization.yaml`. */
export const kustomization = z.strictObject({
  apiVersion: z.literal('kustomize.config.k8s.io/v1beta1'),
  kind: z.literal('Kustomization'),
  namespace: name,
  resources: z.array(z.string()),
  images: z.array(z.strictObject({ name: z.string(), newTag: z.string() })),
});

/** Any of the manifests. */
export const manifest = z.discriminatedUnion('kind', [
  namespace,
  configMap,
  deployment,
  service,
  disruptionBudget,
  autoscaler,
  cluster,
  pooler,
  serviceMonitor,
  prometheusRule,
]);

/** A manifest of a kind. */
export type Manifest<Kind extends z.infer<typeof manifest>['kind']> = Extract<z.infer<typeof manifest>, { kind: Kind }>;
