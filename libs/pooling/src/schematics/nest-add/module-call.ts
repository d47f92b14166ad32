import type { Parts } from '../packages/needed-packages.js';

export interface ModuleCall {
  /** What `PoolingModule` is called in the file. */
  readonly local: string;
  readonly parts: Parts;
  readonly console: boolean;
  /** What `ConfigModule` and `ConfigService` are called there, when the file has them. */
  readonly config: string | undefined;
  readonly service: string | undefined;
  /** One step of indentation. */
  readonly step: string;
}

/** `PoolingModule.forRoot(…)`, or `forRootAsync` where the application has `@nestjs/config`. */
export function moduleCall({ local, parts, console, config, service, step }: ModuleCall): string {
  const own = [...(parts.database ? [] : ['database: false']), ...(parts.http ? [] : ['http: false'])];
  const routes = [
    ...(parts.health ? [] : ['health: false']),
    ...(parts.metrics ? [] : ['metrics: false']),
    ...(console ? [`console: { path: 'pools' }`] : []),
  ];
  if (config === undefined || service === undefined) {
    const options = [...own, ...routes].join(', ');
    return `${local}.forRoot(${options === '' ? '' : `{ ${options} }`})`;
  }
  const made = [`database: { url: config.getOrThrow<string>('DATABASE_URL') }`, ...own].join(`,\n${step}${step}`);
  const lines = [
    `imports: [${config}]`,
    `inject: [${service}]`,
    `useFactory: (config: ${service}) => ({\n${step}${step}${made},\n${step}})`,
    ...routes,
  ];
  return `${local}.forRootAsync({\n${lines.map((line) => `${step}${line},\n`).join('')}})`;
}
