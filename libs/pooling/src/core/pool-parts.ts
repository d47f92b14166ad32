import { AcquireQueue, type AcquireQueueHost } from './acquire-queue.js';
import { AcquireTraces } from './acquire-traces.js';
import { systemClock, type Clock } from './clock.js';
import type { Connector } from './connector.js';
import { Deadlines } from './deadlines.js';
import { Fitness } from './fitness.js';
import { LifeCycle } from './life-cycle.js';
import type { PoolDependencies, PoolObserver, PoolOptions } from './pool-options.js';
import { SlowAcquires } from './slow-acquires.js';
import { Slots } from './slots.js';
import { PoolCounters } from './statistics.js';

/** What the collaborators of one pool have in common. */
export interface PoolParts<T> {
  readonly options: PoolOptions;
  readonly connector: Connector<T>;
  readonly clock: Clock;
  /** 0 ≤ number < 1; for jitter. */
  readonly random: () => number;
  readonly observer: PoolObserver<T>;
  readonly deadlines: Deadlines;
  readonly counters: PoolCounters;
  readonly life: LifeCycle;
  readonly slots: Slots<T>;
  readonly fitness: Fitness<T>;
  readonly traces: AcquireTraces<T>;
  readonly slow: SlowAcquires<T>;
  readonly waiters: AcquireQueue<T>;
}

/** Makes them. */
export function partsOf<T>(
  given: PoolOptions,
  connector: Connector<T>,
  dependencies: PoolDependencies<T>,
  queueHost: Omit<AcquireQueueHost<T>, 'actsForWaiters' | 'traces'>,
): PoolParts<T> {
  const options = Object.freeze({ ...given });
  const { clock = systemClock, random = Math.random, observer = {} } = dependencies;
  const deadlines = new Deadlines(clock);
  const counters = new PoolCounters();
  const life = new LifeCycle();
  const slots = new Slots<T>(options.size, options.maxOverflow, connector, dependencies.nextConnection);
  const slow = new SlowAcquires<T>(slots, life, options.quickReserve);
  const traces = new AcquireTraces(options.name, slots, dependencies.spans);
  return {
    options,
    connector,
    clock,
    random,
    observer,
    deadlines,
    counters,
    life,
    slots,
    fitness: new Fitness(options, connector, life),
    traces,
    slow,
    waiters: new AcquireQueue(clock, deadlines, options, counters, slow, {
      ...queueHost,
      traces,
      actsForWaiters: () => connector.prepare !== undefined || hearsOfAcquires(observer),
    }),
  };
}

function hearsOfAcquires<T>(observer: PoolObserver<T>): boolean {
  return observer.acquired !== undefined && observer.hearsAcquire?.(Number.MAX_VALUE) !== false;
}
