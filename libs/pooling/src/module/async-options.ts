import type { FactoryProvider, Provider } from '@nestjs/common';
import { refuseProblems } from '../core/validation.js';
import type { AsyncOptions } from './module-options.js';

/** What makes something out of what a factory gave. */
export interface OptionsProvider<Options, Made> {
  readonly token: symbol;
  /** The name for messages. */
  readonly name: string;
  /** What the provider resolves to; `collaborators` are injected after the options. */
  readonly make: (options: Options, ...collaborators: never[]) => Made;
  readonly inject: FactoryProvider['inject'];
}

/**
 * The providers of options that are made while the application starts, in one of the three styles.
 *
 * @param call how the factory class is called
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID` when not exactly one style is given.
 */
export function asyncOptionsProviders<Options, Factory, Made>(
  options: AsyncOptions<Options, Factory>,
  call: (factory: Factory) => Promise<Options> | Options,
  target: OptionsProvider<Options, Made>,
): Provider[] {
  const { useFactory, useClass, useExisting, inject = [], extraProviders = [] } = options;
  const styles = [useFactory, useClass, useExisting].filter((style) => style !== undefined);
  if (styles.length !== 1) {
    refuseProblems(target.name, [
      `${styles.length} of useFactory, useClass and useExisting given; exactly one is allowed`,
    ]);
  }
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
