import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { isMissingPackage } from '../core/optional-package.js';
import { loadOpenTelemetry } from './metrics-packages.cjs';
import { MetricsSource, type MetricsSnapshot } from './metrics-source.js';
import { METER_NAME, PoolInstruments } from './opentelemetry.js';

/** The applications of this process whose pools are published, newest first: the SDK's global meter belongs to the process. */
let applications: readonly MetricsSource[] = [];
let instruments: PoolInstruments | undefined;

function* snapshots(): IterableIterator<MetricsSnapshot> {
  for (const application of applications) yield application.snapshot();
}

/**
 * Publishes an application's pools to OpenTelemetry's metrics SDK, where the process has set one up before. Without
 * one nothing is made and nothing is listened to.
 */
@Injectable()
export class PoolTelemetry implements OnModuleInit, OnApplicationShutdown {
  #enabled = true;

  constructor(private readonly source: MetricsSource) {}

  /** Turns it off, or on. */
  configure(enabled: boolean): void {
    this.#enabled = enabled;
  }

  onModuleInit(): void {
    if (!this.#enabled || applications.includes(this.source)) return;
    const api = requireApi();
    if (api === undefined) return;
    const meter = api.metrics.getMeter(METER_NAME);
    if (meter === api.createNoopMeter()) return;
    applications = [this.source, ...applications];
    if (instruments !== undefined) return;
    instruments = new PoolInstruments(meter, snapshots);
    instruments.start();
  }

  onApplicationShutdown(): void {
    applications = applications.filter((application) => application !== this.source);
    if (applications.length > 0) return;
    instruments?.stop();
    instruments = undefined;
  }
}

/** OpenTelemetry's API; an application without an SDK doesn't need it. */
function requireApi(): typeof import('@opentelemetry/api') | undefined {
  const loaded = loadOpenTelemetry();
  if ('module' in loaded) return loaded.module as typeof import('@opentelemetry/api');
  if (isMissingPackage(loaded.error, '@opentelemetry/api')) return undefined;
  throw loaded.error;
}
