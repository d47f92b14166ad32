import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, ServiceUnavailableException } from '@nestjs/common';

/**
 * How the carrier is today. `normal`: quick, with the odd slow answer and the odd failure. `steady`: quick, without those.
 * `slow`: every answer takes seconds. `failing`: 503 to everybody. `silent`: requests are accepted and never answered.
 */
export const CONDITIONS = ['normal', 'steady', 'slow', 'failing', 'silent'] as const;
export type Condition = (typeof CONDITIONS)[number];

const USUAL_LATENCY_MS = { least: 8, spread: 40 };
const SLOW_LATENCY_MS = { least: 1_500, spread: 2_500 };
const FAILURE_SHARE = 0.01;
const SLOW_SHARE = 0.005;

/** Another company's service has its moods; this one's can be set. */
@Injectable()
export class Conditions {
  #condition: Condition = 'normal';

  get current(): Condition {
    return this.#condition;
  }

  set current(condition: Condition) {
    this.#condition = condition;
  }

  /**
   * Waits as long as the carrier takes for an answer.
   *
   * @throws ServiceUnavailableException when it fails to give one.
   */
  async work(): Promise<void> {
    const chance = Math.random();
    if (this.#condition === 'failing' || (this.#condition === 'normal' && chance < FAILURE_SHARE)) {
      throw new ServiceUnavailableException('The carrier is out of order');
    }
    if (this.#condition === 'silent') await new Promise(() => undefined);
    const isSlow = this.#condition === 'slow' || (this.#condition === 'normal' && chance > 1 - SLOW_SHARE);
    const { least, spread } = isSlow ? SLOW_LATENCY_MS : USUAL_LATENCY_MS;
    await sleep(least + Math.random() ** 3 * spread);
  }
}
