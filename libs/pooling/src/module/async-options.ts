import type { FactoryProvider, Provider } from '@nestjs/common';
import { nearestName, refuseProblems, showName } from '../core/validation.js';
import type { AsyncOptions } from './module-options.js';

/** A provider that is made of a factory's options. */
export interface OptionsProvider<Options, Made> {
  readonly token: symbol;
  /** The name for messages. */
  readonly name: string;
  /** What the provider resolves to; `collaborators` are injected after the options. */
  readonly make: (options: Options, ...collaborators: never[]) => Made;
  readonly inject: FactoryProvider['inject'];
  /** What else may stand beside the factory. */
  readonly others: readonly string[];
}

const ASYNC_NAMES = ['imports', 'inject', 'useFactory', 'useClass', 'useExisting', 'extraProviders'] as const;

/** Names beside a factory that nothing reads: options belong into the factory's result. */
function unread(options: object, others: readonly string[]): string[] {
  const known: readonly string[] = [...ASYNC_NAMES, ...others];
  const problems: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const near = nearestName(name, known);
    const remedy = near === undefined ? 'options belong into what the factory gives' : `did you mean ${near}?`;
    problems.push(`${showName(name)}: no such option beside a factory; ${remedy}`);
  }
  const { inject, useFactory } = options as AsyncOptions<unknown, unknown>;
  if (inject !== undefined && inject.length > 0 && useFactory === undefined) {
    problems.push('inject: is for useFactory alone; a class has its own constructor');
  }
  return problems;
}

/**
 * The providers of options that are made while the application starts, in one of the three styles.
 *
 * @param call how the factory class is called
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID` when not exactly one style is given, or a name that nothing reads.
 */
export function asyncOptionsProviders<Options, Factory, Made>(
  options: AsyncOptions<Options, Factory>,
  call: (factory: Factory) => Promise<Options> | Options,
  target: OptionsProvider<Options, Made>,
): Provider[] {
  const { useFactory, useClass, useExisting, inject = [], extraProviders = [] } = options;
  const styles = [useFactory, useClass, useExisting].filter((style) => style !== undefined);
  const problems = unread(options, target.others);
  if (styles.length !== 1) {
    problems.push(`${styles.length} of useFactory, useClass and useExisting given; exactly one is allowed`);
  }
  refuseProblems(target.name, problems);
  const given = Symbol(`${target.name} options`);
  const source: Provider =
    useFactory !== undefined
      ? // Nest calls it with whatever `inject` names; only its author knows the types.
        { provide: given, inject, useFactory: useFactory as FactoryProvider<Options>['useFactory'] }
      : { provide: given, inject: [(useClass ?? useExisting)!], useFactory: call };
  return [
    ...extraProviders,
    ...(useClass === undefined ? [] : [useClass as Provider]),
    source,
    {
      provide: target.token,
      inject: [given, ...(target.inject ?? [])],
      useFactory: target.make as FactoryProvider<Made>['useFactory'],
    },
  ];
}
