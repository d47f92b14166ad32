import { Module, type DynamicModule } from '@nestjs/common';
import type { Settings } from './settings.js';

/** The token of {@link RunningSettings}. */
export const SETTINGS = Symbol('SETTINGS');

/** The settings once everything around the application runs: both addresses are known. */
export interface RunningSettings extends Settings {
  readonly databaseUrl: string;
  readonly carrierUrl: string;
}

@Module({})
export class SettingsModule {
  static forRoot(settings: RunningSettings): DynamicModule {
    return {
      module: SettingsModule,
      global: true,
      providers: [{ provide: SETTINGS, useValue: settings }],
      exports: [SETTINGS],
    };
  }
}
