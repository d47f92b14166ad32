import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Provider, Type } from '@nestjs/common';
import type { ConsoleOptions } from '../console/console-options.js';
import type { RouteDecorators } from '../routes/route-decorators.js';
import type { DatabaseOptions } from '../database/options/options.js';
import type { HttpClientOptions } from '../http/options.js';
import type { Tracing } from '../tracing/tracing-options.js';
import type { AdviceOptions } from './pool-advice.js';

/**
 * How the application's pools end. Times are milliseconds.
 *
 * ```ts
 * PoolingModule.forRoot({ shutdown: { drainDelayMs: 5_000, timeoutMs: 20_000 } });
 * ```
 */
export interface ShutdownOptions {
  /**
   * How long the application goes on serving after readiness has failed, so that load balancers notice. Waited only
   * while an HTTP server listens, whether the shutdown came by a signal or by `app.close()`. Default: 0.
   */
  readonly drainDelayMs?: number | undefined;
  /**
   * How long leases and requests may take to finish after the HTTP server has closed; what is left then is destroyed
   * and reported with its holders. One deadline for all pools and clients together. Default: 10000.
   */
  readonly timeoutMs?: number | undefined;
}

/**
 * What `PoolingModule.forRoot` and the factories of `forRootAsync` take.
 *
 * ```ts
 * PoolingModule.forRoot({
 *   database: { url: process.env.DATABASE_URL, preset: 'medium', leakDetectionMs: 10_000 },
 *   http: { timeouts: { totalMs: 5_000 } },
 *   shutdown: { drainDelayMs: 5_000 },
 *   advice: { replicas: 4 },
 * });
 * ```
 */
export interface PoolingModuleOptions {
  /**
   * The default database. Left out: `DATABASE_URL`, else the `PG*` variables, else what `pg` takes for granted
   * (localhost). `false`: none; using it fails with `ERR_POOL_NOT_CONFIGURED`.
   */
  readonly database?: DatabaseOptions | false | undefined;
  /** The default HTTP client. `false`: none; using it fails with `ERR_POOL_NOT_CONFIGURED`. */
  readonly http?: HttpClientOptions | false | undefined;
  /** How the application's pools end. */
  readonly shutdown?: ShutdownOptions | undefined;
  /** What the advisor can't see by itself. */
  readonly advice?: AdviceOptions | undefined;
  /**
   * Whether the pools are published to OpenTelemetry, where the process has set up a metrics SDK before the
   * application starts. Default: `true`.
   */
  readonly openTelemetry?: boolean | undefined;
}

/** The health routes. */
export interface HealthRouteOptions {
  /** Where they are: `GET /<path>`, `/<path>/live`, `/<path>/ready`. Default: `health`. */
  readonly path?: string | undefined;
  /**
   * Decorators for the routes, such as `Public()`, by which the application's own guards let them pass. An application's
   * interceptors, pipes and filters never apply to them, and Swagger doesn't show them.
   *
   * ```ts
   * PoolingModule.forRoot({ health: { decorators: [Public(), SkipThrottle()] } })
   * ```
   */
  readonly decorators?: RouteDecorators | undefined;
}

/**
 * The metrics route.
 *
 * ```ts
 * PoolingModule.forRoot({ metrics: { path: '/internal/metrics', defaultMetrics: true } });
 * ```
 */
export interface MetricsRouteOptions {
  /** Where it is. Default: `/metrics`. */
  readonly path?: string | undefined;
  /** Decorators for the route, as those of {@link HealthRouteOptions.decorators}. */
  readonly decorators?: RouteDecorators | undefined;
  /** Whether prom-client's metrics of the Node process are there too, collected once per process. Default: `false`. */
  readonly defaultMetrics?: boolean | undefined;
}

/**
 * Options that stand outside the factories, because routes must be known before any factory runs.
 *
 * ```ts
 * PoolingModule.forRoot({ health: { path: 'status' }, metrics: false, console: { path: 'pools', guards: [StaffGuard] } });
 * ```
 */
export interface StaticOptions {
  /** Whether the default tokens can be injected everywhere, or only where the module is imported. Default: `true`. */
  readonly isGlobal?: boolean | undefined;
  /** The health routes; `false`: none. */
  readonly health?: HealthRouteOptions | false | undefined;
  /** The metrics route; `false`: none, and no metrics. */
  readonly metrics?: MetricsRouteOptions | false | undefined;
  /** The live page. Default: `false`. */
  readonly console?: ConsoleOptions | false | undefined;
  /**
   * Spans of queries, waits, transactions and HTTP requests, where the process has set up a tracer provider of
   * OpenTelemetry's. Default: `'auto'`, which leaves queries and requests to an instrumentation that makes spans of them.
   */
  readonly tracing?: Tracing | undefined;
}

/**
 * A class that makes the options of `PoolingModule.forRootAsync`.
 *
 * ```ts
 * @Injectable()
 * class PoolingOptions implements PoolingOptionsFactory {
 *   constructor(private readonly config: ConfigService) {}
 *
 *   createPoolingOptions(): PoolingModuleOptions {
 *     return { database: { url: this.config.getOrThrow('DATABASE_URL') } };
 *   }
 * }
 *
 * PoolingModule.forRootAsync({ imports: [ConfigModule], useClass: PoolingOptions });
 * ```
 */
export interface PoolingOptionsFactory {
  createPoolingOptions(): Promise<PoolingModuleOptions> | PoolingModuleOptions;
}

/** A class that makes the options of `PoolingModule.forDatabaseAsync`. */
export interface DatabaseOptionsFactory {
  createDatabaseOptions(name: string): Promise<DatabaseOptions> | DatabaseOptions;
}

/** A class that makes the options of `PoolingModule.forHttpClientAsync`. */
export interface HttpClientOptionsFactory {
  createHttpClientOptions(name: string): Promise<HttpClientOptions> | HttpClientOptions;
}

/**
 * Where options come from that are made while the application starts: exactly one of the three `use…`.
 *
 * ```ts
 * PoolingModule.forRootAsync({
 *   imports: [ConfigModule],
 *   inject: [ConfigService],
 *   useFactory: (config: ConfigService) => ({ database: { url: config.getOrThrow('DATABASE_URL') } }),
 * });
 * ```
 */
export interface AsyncOptions<Options, Factory> extends Pick<ModuleMetadata, 'imports'> {
  /** What the factory function is called with. */
  readonly inject?: (InjectionToken | OptionalFactoryDependency)[] | undefined;
  /** A function that makes the options. */
  readonly useFactory?: ((...dependencies: never[]) => Promise<Options> | Options) | undefined;
  /** A class that makes the options, instantiated for this purpose. */
  readonly useClass?: Type<Factory> | undefined;
  /** The token of a provider that makes the options. */
  readonly useExisting?: InjectionToken<Factory> | undefined;
  /** Further providers that the factory needs. */
  readonly extraProviders?: Provider[] | undefined;
}

/** What `PoolingModule.forRootAsync` takes. */
export interface PoolingModuleAsyncOptions
  extends AsyncOptions<PoolingModuleOptions, PoolingOptionsFactory>, StaticOptions {}

/** What `PoolingModule.forDatabase` takes. */
export type NamedDatabaseOptions = DatabaseOptions & {
  /** What the database is called in this application. */
  readonly name: string;
};

/** What `PoolingModule.forDatabaseAsync` takes. */
export interface NamedDatabaseAsyncOptions extends AsyncOptions<DatabaseOptions, DatabaseOptionsFactory> {
  /** What the database is called in this application. */
  readonly name: string;
}

/** What `PoolingModule.forHttpClient` takes. */
export type NamedHttpClientOptions = HttpClientOptions & {
  /** What the client is called in this application. */
  readonly name: string;
};

/** What `PoolingModule.forHttpClientAsync` takes. */
export interface NamedHttpClientAsyncOptions extends AsyncOptions<HttpClientOptions, HttpClientOptionsFactory> {
  /** What the client is called in this application. */
  readonly name: string;
}
