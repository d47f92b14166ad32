import { Module, type DynamicModule, type Type } from '@nestjs/common';
import type { ConsoleOptions } from './console-options.js';
import { ConsoleSource } from './console-source.js';
import { CONSOLE_OPTIONS, PoolConsoleService } from './pool-console.service.js';

/** The live page; it needs a provider of `ConsoleSource` in a global module. */
@Module({})
export class PoolConsoleModule {
  /** The module that serves a controller made by `createConsoleController`. */
  static register(options: ConsoleOptions, controller: Type<unknown>): DynamicModule {
    return {
      module: PoolConsoleModule,
      imports: [...(options.imports ?? [])],
      controllers: [controller],
      providers: [
        { provide: CONSOLE_OPTIONS, useValue: options },
        {
          provide: PoolConsoleService,
          useFactory: (source: ConsoleSource, given: ConsoleOptions) => new PoolConsoleService(source, given),
          inject: [ConsoleSource, CONSOLE_OPTIONS],
        },
      ],
    };
  }
}
