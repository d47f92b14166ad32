import { PoolOptionsError } from '../core/errors.js';
import {
  anything,
  arrayOf,
  boolean,
  durationMs,
  either,
  integer,
  isPlainObject,
  object,
  oneOf,
  optionProblems,
  refusal,
  refuseProblems,
  rule,
  showType,
  showValue,
  string,
  type Rule,
  type Rules,
} from '../core/validation.js';
import { CONSOLE_ACTIONS } from '../console/console-options.js';
import { resolveDatabaseOptions } from '../database/options/options.js';
import { resolveHttpClientOptions } from '../http/options.js';
import { tracingRule } from '../tracing/tracing-options.js';
import { missingPackages } from './missing-packages.js';
import type { PoolingModuleOptions, ShutdownOptions, StaticOptions } from './module-options.js';
import { DEFAULT_NAME } from './tokens.js';

const shutdownRules: Rules<ShutdownOptions> = {
  drainDelayMs: durationMs({ zero: 'no delay' }),
  timeoutMs: durationMs({ zero: 'nothing may finish' }),
};

const path = string({ empty: true });
const decorators = arrayOf(rule('a decorator', (decorator) => typeof decorator === 'function'));
const staticRules: Rules<StaticOptions> = {
  isGlobal: boolean(),
  health: either(oneOf(false), object({ path, decorators })),
  metrics: either(oneOf(false), object({ path, decorators, defaultMetrics: boolean() })),
  console: either(
    oneOf(false),
    object({
      path: string(),
      guards: arrayOf(rule('a guard', (guard) => typeof guard === 'function' || isPlainObject(guard))),
      imports: arrayOf(anything()),
      decorators,
      allowedHosts: arrayOf(
        rule('a host like pools.example or pools.example:8080', (host) => {
          return typeof host === 'string' && /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(host);
        }),
      ),
      allowedActions: arrayOf(oneOf(...CONSOLE_ACTIONS)),
      statements: boolean(),
    }),
  ),
  tracing: tracingRule,
};

/** The problems of a room's options, each path with the room's own in front. */
function problemsOf(room: string, resolve: () => unknown): string[] {
  try {
    resolve();
    return [];
  } catch (error) {
    if (!(error instanceof PoolOptionsError)) throw error;
    // Problems of the environment have no path in the options.
    return (error.details['problems'] as string[]).map((problem) =>
      /^[A-Z_]+ \(environment\): /.test(problem) ? problem : `${room}.${problem}`,
    );
  }
}

/** A part of the options that another room checks. */
function part(room: string, resolve: (options: object) => unknown): Rule {
  const allowed = 'false or an object';
  return {
    allowed,
    problems: (at, value) => {
      if (value === undefined || value === false) return [];
      if (!isPlainObject(value)) return [refusal(at, showValue(value), allowed)];
      return problemsOf(room, () => resolve(value));
    },
  };
}

const rootRules: Rules<PoolingModuleOptions> = {
  database: part('database', (options) => resolveDatabaseOptions(DEFAULT_NAME, options)),
  http: part('http', (options) => resolveHttpClientOptions(DEFAULT_NAME, options)),
  shutdown: object(shutdownRules),
  advice: object({ replicas: integer({ min: 1 }) }),
  openTelemetry: boolean(),
};

/** The names of the options that stand beside the factory of `forRootAsync`. */
export const STATIC_OPTION_NAMES: readonly string[] = Object.keys(staticRules);

/**
 * Refuses the result of a named pool's factory when it isn't an object: a forgotten `return` doesn't mean the defaults.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`
 */
export function refuseMadeOptions<Made>(name: string, made: Made): Made {
  if (!isPlainObject(made)) {
    refuseProblems(name, [`what the factory gave: ${showType(made)} is not allowed; an object with options`]);
  }
  return made;
}

/** The names of all options of `forRoot`. */
export const ROOT_OPTION_NAMES: readonly string[] = [...Object.keys(rootRules), ...Object.keys(staticRules)];

/**
 * Refuses the options of `forRoot` when any of them is wrong.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`, once, with every problem of the pools, the shutdown and the routes.
 */
export function refuseRootOptions(options: unknown): void {
  const problems = optionProblems({ ...rootRules, ...staticRules }, options);
  if (options === undefined || isPlainObject(options)) problems.push(...missingPackages(options ?? {}));
  // The environment is checked like the options.
  if (isPlainObject(options) && options['database'] === undefined) {
    problems.push(...problemsOf('database', () => resolveDatabaseOptions(DEFAULT_NAME, {})));
  }
  refuseProblems(DEFAULT_NAME, problems);
}

/**
 * Refuses what the factory of `forRootAsync` made when any of it is wrong, the static options beside it included.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`
 */
export function refuseMadeRootOptions(made: unknown, statics: StaticOptions): void {
  if (isPlainObject(made)) {
    const misplaced = Object.keys(made).filter((name) => Object.hasOwn(staticRules, name));
    refuseProblems(
      DEFAULT_NAME,
      misplaced.map((name) => `${name}: is not the factory's to make; give it to forRootAsync beside useFactory`),
    );
    return refuseRootOptions({ ...made, ...statics });
  }
  refuseRootOptions(made);
}
