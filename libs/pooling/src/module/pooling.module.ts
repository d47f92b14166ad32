import {
  Inject,
  Module,
  Optional,
  type DynamicModule,
  type NestModule,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { createConsoleController } from '../console/console.controller.js';
import { PoolConsoleModule } from '../console/pool-console.module.js';
import { isPlainObject } from '../core/validation.js';
import type { DatabaseOptions } from '../database/options/options.js';
import { createHealthController } from '../health/health.controller.js';
import { PoolHealthModule } from '../health/pool-health.module.js';
import type { HttpClientOptions } from '../http/options.js';
import { createMetricsController } from '../metrics/metrics.controller.js';
import { PoolMetricsModule } from '../metrics/pool-metrics.module.js';
import { PoolTelemetry } from '../metrics/pool-telemetry.js';
import { ApplicationSpans } from './application-spans.js';
import { asyncOptionsProviders } from './async-options.js';
import { isComplete } from './missing-packages.js';
import type {
  HealthRouteOptions,
  MetricsRouteOptions,
  NamedDatabaseAsyncOptions,
  NamedDatabaseOptions,
  NamedHttpClientAsyncOptions,
  NamedHttpClientOptions,
  PoolingModuleAsyncOptions,
  PoolingModuleOptions,
  StaticOptions,
} from './module-options.js';
import { refuseMadeOptions, refuseMadeRootOptions, refuseRootOptions, STATIC_OPTION_NAMES } from './option-problems.js';
import { PoolAdvice } from './pool-advice.js';
import { databaseProviders, httpClientProvider, refuseName } from './pool-providers.js';
import { PoolStore, type PoolKind } from './pool-store.js';
import { PoolingCoreModule } from './pooling-core.module.js';
import { routeFirst, yieldToApplication } from './route-conflicts.js';
import { PoolShutdown } from './shutdown.js';
import { DEFAULT_NAME, getDbPoolToken, getDbToken, getHttpClientToken, getReplicaDbToken } from './tokens.js';

/** The options of one import of the module; each import has its own. */
const OPTIONS = Symbol('PoolingModule options');
const ROUTES = Symbol('PoolingModule routes');

/** A controller of the library, and the message for an application that has a route of its own in its place. */
type OwnController = readonly [controller: Type<unknown>, remedy: string, separable?: boolean];

/** What the options of `forRoot` configure besides the pools. */
type ConfiguredParts = [shutdown: PoolShutdown, advice: PoolAdvice, telemetry: PoolTelemetry, spans: ApplicationSpans];

const DEFAULT_HEALTH_PATH = 'health';
const DEFAULT_METRICS_PATH = '/metrics';

/**
 * Database pools and HTTP clients for a Nest application. Import `forRoot` once; add further ones with `forDatabase`
 * and `forHttpClient`, anywhere.
 *
 * @example
 * ```ts
 * @Module({
 *   imports: [
 *     PoolingModule.forRoot({ database: { url: process.env.DATABASE_URL, preset: 'medium' } }),
 *     PoolingModule.forHttpClient({ name: 'carrier', baseUrl: 'https://carrier.example' }),
 *   ],
 * })
 * export class AppModule {}
 * ```
 */
@Module({})
export class PoolingModule implements NestModule {
  /** @internal */
  constructor(
    private readonly modules: ModulesContainer,
    @Optional() @Inject(ROUTES) private readonly routes: readonly OwnController[] = [],
  ) {}

  /** Nest calls it when all modules are there and routes aren't. */
  configure(): void {
    for (const route of this.routes) yieldToApplication(this.modules, ...route);
    if (this.routes.length > 0) routeFirst(this.modules, new Set(this.routes.map(([controller]) => controller)));
  }

  /**
   * The default database and HTTP client, shutdown, health and metrics.
   *
   * While the application starts: `ERR_POOL_OPTIONS_INVALID` when an option is wrong or `forRoot` was imported
   * before, `ERR_POOL_CONNECT_FAILED` when a `required` database can't be reached.
   */
  static forRoot(options: PoolingModuleOptions & StaticOptions = {}): DynamicModule {
    const root: Provider = {
      provide: OPTIONS,
      inject: [PoolStore, PoolShutdown, PoolAdvice, PoolTelemetry, ApplicationSpans],
      useFactory: (store: PoolStore, ...parts: ConfiguredParts) => {
        refuseRootOptions(options);
        return claimRoot(options, options, store, ...parts);
      },
    };
    return rootModule(options, [root]);
  }

  /** {@link PoolingModule.forRoot} with options that a factory makes while the application starts. */
  static forRootAsync(options: PoolingModuleAsyncOptions): DynamicModule {
    const { isGlobal, health, metrics, console, tracing } = options;
    const statics = withoutUndefined({ isGlobal, health, metrics, console, tracing });
    const providers = asyncOptionsProviders(options, (factory) => factory.createPoolingOptions(), {
      token: OPTIONS,
      name: DEFAULT_NAME,
      others: STATIC_OPTION_NAMES,
      inject: [PoolStore, PoolShutdown, PoolAdvice, PoolTelemetry, ApplicationSpans],
      make: (made: PoolingModuleOptions, store: PoolStore, ...parts: ConfiguredParts) => {
        refuseMadeRootOptions(made, statics);
        return claimRoot(made, statics, store, ...parts);
      },
    });
    return rootModule(statics, providers, options.imports);
  }

  /** Another database, injected by its name. */
  static forDatabase({ name, ...options }: NamedDatabaseOptions): DynamicModule {
    refuseName('forDatabase', name);
    return databaseModule(name, [declaredOptions('database', name, options)]);
  }

  /** {@link PoolingModule.forDatabase} with options that a factory makes while the application starts. */
  static forDatabaseAsync(options: NamedDatabaseAsyncOptions): DynamicModule {
    const { name } = options;
    refuseName('forDatabaseAsync', name);
    const providers = asyncOptionsProviders(options, (factory) => factory.createDatabaseOptions(name), {
      token: OPTIONS,
      name,
      others: ['name'],
      inject: [PoolStore],
      make: (made: DatabaseOptions, store: PoolStore) =>
        declared(store, 'database', name, refuseMadeOptions(name, made)),
    });
    return databaseModule(name, providers, options.imports);
  }

  /** Another HTTP client, injected by its name. */
  static forHttpClient({ name, ...options }: NamedHttpClientOptions): DynamicModule {
    refuseName('forHttpClient', name);
    return httpClientModule(name, [declaredOptions('HTTP client', name, options)]);
  }

  /** {@link PoolingModule.forHttpClient} with options that a factory makes while the application starts. */
  static forHttpClientAsync(options: NamedHttpClientAsyncOptions): DynamicModule {
    const { name } = options;
    refuseName('forHttpClientAsync', name);
    const providers = asyncOptionsProviders(options, (factory) => factory.createHttpClientOptions(name), {
      token: OPTIONS,
      name,
      others: ['name'],
      inject: [PoolStore],
      make: (made: HttpClientOptions, store: PoolStore) =>
        declared(store, 'HTTP client', name, refuseMadeOptions(name, made)),
    });
    return httpClientModule(name, providers, options.imports);
  }
}

/** What `forRoot` and `forRootAsync` have in common: the default pools and the routes. */
function rootModule(
  statics: StaticOptions,
  providers: Provider[],
  imports: DynamicModule['imports'] = [],
): DynamicModule {
  const routes: DynamicModule[] = [];
  const controllers: OwnController[] = [];
  // Parts without their packages are reported with the wrong options, when the application starts.
  if (statics.health !== false && isComplete('health')) {
    const controller = createHealthController(pathOf(statics.health, DEFAULT_HEALTH_PATH), statics.health?.decorators);
    routes.push(PoolHealthModule.register(controller));
    controllers.push([controller, "the library's own is off; `health: { path }` moves its health routes", true]);
  }
  if (statics.metrics !== false && isComplete('metrics')) {
    const controller = createMetricsController(statics.metrics ?? {});
    routes.push(PoolMetricsModule.register(pathOf(statics.metrics, DEFAULT_METRICS_PATH), controller));
    controllers.push([controller, "the library's metrics are there when it prints prom-client's default registry"]);
  }
  if (isPlainObject(statics.console)) {
    const controller = createConsoleController(statics.console);
    routes.push(PoolConsoleModule.register(statics.console, controller));
    controllers.push([controller, "the library's console is off; `console: { path }` moves it"]);
  }
  return {
    module: PoolingModule,
    global: statics.isGlobal !== false,
    imports: [...imports, PoolingCoreModule, ...routes],
    providers: [
      ...providers,
      { provide: ROUTES, useValue: controllers },
      ...databaseProviders(DEFAULT_NAME, { token: OPTIONS, read: ({ database }: PoolingModuleOptions) => database }),
      httpClientProvider(DEFAULT_NAME, { token: OPTIONS, read: ({ http }: PoolingModuleOptions) => http }),
    ],
    exports: [getDbToken(), getReplicaDbToken(), getDbPoolToken(), getHttpClientToken()],
  };
}

function databaseModule(name: string, providers: Provider[], imports: DynamicModule['imports'] = []): DynamicModule {
  return {
    module: PoolingModule,
    global: true,
    imports: [...imports, PoolingCoreModule],
    providers: [
      ...providers,
      ...databaseProviders(name, { token: OPTIONS, read: (options: DatabaseOptions) => options }),
    ],
    exports: [getDbToken(name), getReplicaDbToken(name), getDbPoolToken(name)],
  };
}

function httpClientModule(name: string, providers: Provider[], imports: DynamicModule['imports'] = []): DynamicModule {
  return {
    module: PoolingModule,
    global: true,
    imports: [...imports, PoolingCoreModule],
    providers: [
      ...providers,
      httpClientProvider(name, { token: OPTIONS, read: (options: HttpClientOptions) => options }),
    ],
    exports: [getHttpClientToken(name)],
  };
}

function claimRoot(
  options: PoolingModuleOptions,
  { tracing }: StaticOptions,
  store: PoolStore,
  ...[shutdown, advice, telemetry, spans]: ConfiguredParts
): PoolingModuleOptions {
  store.claimRoot();
  store.declare('database', DEFAULT_NAME);
  store.declare('HTTP client', DEFAULT_NAME);
  shutdown.configure(options.shutdown);
  advice.configure(options.advice);
  telemetry.configure(options.openTelemetry !== false);
  spans.configure(tracing);
  return options;
}

function declaredOptions<Options>(kind: PoolKind, name: string, options: Options): Provider {
  return {
    provide: OPTIONS,
    inject: [PoolStore],
    useFactory: (store: PoolStore) => declared(store, kind, name, options),
  };
}

function declared<Options>(store: PoolStore, kind: PoolKind, name: string, options: Options): Options {
  store.declare(kind, name);
  return options;
}

/** The path of a route; one that isn't a string is refused when the application starts, with the other options. */
function pathOf(route: HealthRouteOptions | MetricsRouteOptions | undefined, otherwise: string): string {
  return typeof route?.path === 'string' ? route.path : otherwise;
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
