import {
  Inject,
  Injectable,
  Logger,
  Optional,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Advice, AdviceSeverity } from '../advice/advice.js';
import { PoolAdvisor } from '../advice/pool-advisor.js';
import { systemClock, type Clock, type Timer } from '../core/clock.js';
import { PoolOptionsError } from '../core/errors.js';
import type { DatabasePool } from '../database/database-pool.js';
import { PoolStore } from './pool-store.js';

/**
 * What the advisor is told about the application.
 *
 * ```ts
 * PoolingModule.forRoot({ advice: { replicas: Number(process.env.REPLICAS ?? 1) } });
 * ```
 */
export interface AdviceOptions {
  /** How many processes like this one share the database's server: their pools count together. Left out: not known. */
  readonly replicas?: number | undefined;
}

/** Time between two looks of the log, in milliseconds; the first is after one second, when the application listens. */
const LOOK_INTERVAL_MS = 15_000;
const FIRST_LOOK_MS = 1_000;
/** A finding is logged again if it was gone for longer than this, in milliseconds: one that comes and goes isn't. */
const FORGOTTEN_AFTER_MS = 600_000;

/** The clock, for tests that turn time by hand; the machine's when it isn't provided. */
export const ADVICE_CLOCK = Symbol('ADVICE_CLOCK');

const WRITE: Readonly<Record<AdviceSeverity, 'error' | 'warn' | 'log'>> = {
  error: 'error',
  warning: 'warn',
  info: 'log',
};

/** Lets the advisor look at the application's pools, and logs each finding once. */
@Injectable()
export class PoolAdvice implements OnApplicationBootstrap, OnModuleDestroy {
  readonly advisor: PoolAdvisor;
  readonly #logger = new Logger('PoolAdvisor');
  /** When each finding was last there, of those that were logged. */
  readonly #logged = new Map<string, number>();
  #timer: Timer | undefined;
  #replicas: number | undefined;

  constructor(
    private readonly store: PoolStore,
    private readonly adapterHost: HttpAdapterHost,
    @Optional() @Inject(ADVICE_CLOCK) private readonly clock: Clock = systemClock,
  ) {
    this.advisor = new PoolAdvisor({
      clock,
      databases: () => this.#used(),
      httpClients: () => store.httpClients,
      hasShutdownHooks: () => this.#hasShutdownHooks(),
      replicas: () => this.#replicas,
    });
  }

  /** Sets what was configured. */
  configure(options: AdviceOptions | undefined): void {
    this.#replicas = options?.replicas;
  }

  onApplicationBootstrap(): void {
    if (this.store.draining) return;
    this.advisor.start();
    this.#plan(FIRST_LOOK_MS);
  }

  onModuleDestroy(): void {
    this.advisor.stop();
    if (this.#timer !== undefined) this.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /**
   * Refuses to start when required pools may want more connections than their server can ever give.
   *
   * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`
   */
  async refuseImpossible(): Promise<void> {
    for (const { code, severity, pool, message, evidence } of await this.advisor.advise()) {
      if (code !== 'POOL_EXCEEDS_SERVER' || severity !== 'error') continue;
      if (Number(evidence['wanted']) <= Number(evidence['capacity'])) continue;
      throw new PoolOptionsError(pool, `${message} (startup: 'required')`, { details: { ...evidence } });
    }
  }

  #used(): DatabasePool[] {
    return this.store.databases.filter(({ inUse }) => inUse).map(({ pool }) => pool);
  }

  #plan(inMs: number): void {
    this.#timer = this.clock.setBackgroundTimeout(() => {
      void this.#look().finally(() => {
        if (this.#timer !== undefined) this.#plan(LOOK_INTERVAL_MS);
      });
    }, inMs);
  }

  async #look(): Promise<void> {
    for (const advice of await this.advisor.advise()) {
      const now = this.clock.now();
      const lastThere = this.#logged.get(keyOf(advice));
      this.#logged.set(keyOf(advice), now);
      if (lastThere !== undefined && now - lastThere < FORGOTTEN_AFTER_MS) continue;
      this.#logger[WRITE[advice.severity]](`${advice.code} ${advice.message}`);
    }
  }

  /** Whether shutdown hooks are on; `true` also where the application doesn't listen, as in tests: it ends by itself. */
  #hasShutdownHooks(): boolean {
    const server = this.adapterHost.httpAdapter?.getHttpServer() as { readonly listening?: boolean } | undefined;
    if (server?.listening !== true) return true;
    return process.listenerCount('SIGTERM') > 0 || process.listenerCount('SIGINT') > 0;
  }
}

function keyOf({ code, pool }: Advice): string {
  return `${code} ${pool}`;
}
