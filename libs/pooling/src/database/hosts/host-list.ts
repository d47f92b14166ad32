import type { Clock } from '../../core/clock.js';
import { findHosts, type FindHosts, type HostTarget } from '../options/host-options.js';

/** The hosts of a pool: fixed, or given by the user's function, which is called again when its answer is old. */
export class HostList {
  readonly #clock: Clock;
  readonly #find: FindHosts | undefined;
  readonly #recheckMs: number;
  #hosts: readonly HostTarget[];
  #found = false;
  #askedAt = -Infinity;
  #asking: Promise<void> | undefined = undefined;

  constructor(clock: Clock, hosts: readonly HostTarget[], find: FindHosts | undefined, recheckMs: number) {
    this.#clock = clock;
    this.#hosts = hosts;
    this.#find = find;
    this.#recheckMs = recheckMs;
  }

  /** As they are known now. */
  get known(): readonly HostTarget[] {
    return this.#hosts;
  }

  /**
   * The hosts. When the function fails, its last answer counts.
   *
   * @throws what the function throws, when it has never answered.
   */
  async current(): Promise<readonly HostTarget[]> {
    const find = this.#find;
    if (find === undefined || this.#clock.now() - this.#askedAt < this.#recheckMs) return this.#hosts;
    this.#asking ??= this.#ask(find).finally(() => (this.#asking = undefined));
    await this.#asking;
    return this.#hosts;
  }

  async #ask(find: FindHosts): Promise<void> {
    try {
      this.#hosts = await findHosts(find);
      this.#found = true;
      this.#askedAt = this.#clock.now();
    } catch (error) {
      if (!this.#found) throw error;
    }
  }
}
