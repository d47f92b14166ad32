import { availableParallelism } from 'node:os';
import { cpuTimeOf, KNOWS_CPU_TIME, machineBusyMs } from './machine.js';
import type { Slice } from './slice.js';

/** Latencies kept per slice: enough for any slice that is run. */
const MOST_LATENCIES = 1 << 20;

/** Measures one slice from within the candidate's process: operations, latencies, and whose CPU time they took. */
export class Meter {
  readonly #latencies = new Float64Array(MOST_LATENCIES);
  #operations = 0;
  #timed = 0;
  #startedAt = 0;
  #endsAt = 0;
  #clientCpu: NodeJS.CpuUsage = { user: 0, system: 0 };
  #backendCpuMs: number[] = [];
  #serverCpuMs: number[] = [];
  #machineMs = 0;
  #backends: readonly number[] = [];
  #server: readonly number[] = [];
  #result: Slice | undefined;

  /** Begins; `backends` are the server's processes that work for this candidate, `server` all of the server's. */
  start(durationMs: number, backends: readonly number[], server: readonly number[]): void {
    this.#operations = 0;
    this.#timed = 0;
    this.#result = undefined;
    this.#backends = backends;
    this.#server = server;
    this.#machineMs = machineBusyMs();
    this.#backendCpuMs = backends.map(cpuTimeOf);
    this.#serverCpuMs = server.map(cpuTimeOf);
    this.#clientCpu = process.cpuUsage();
    this.#startedAt = performance.now();
    this.#endsAt = this.#startedAt + durationMs;
  }

  /**
   * An operation begun at `startedAt` has ended; `undefined`: its latency isn't of interest. Returns whether there is
   * time for another one.
   */
  ended(startedAt: number | undefined): boolean {
    const now = performance.now();
    if (this.#result !== undefined) return false;
    if (startedAt !== undefined && this.#timed < MOST_LATENCIES) this.#latencies[this.#timed++] = now - startedAt;
    this.#operations++;
    if (now < this.#endsAt) return true;
    this.#close(now);
    return false;
  }

  /** So many operations have ended, whose latencies aren't of interest. */
  count(operations: number): void {
    this.#operations += operations;
  }

  /** What was measured; the first call ends the measurement. */
  result(): Slice {
    if (this.#result === undefined) this.#close(performance.now());
    return this.#result as unknown as Slice;
  }

  #close(now: number): void {
    const client = process.cpuUsage(this.#clientCpu);
    const clientCpuMs = (client.user + client.system) / 1_000;
    const elapsedMs = now - this.#startedAt;
    const grown = (pids: readonly number[], before: readonly number[]): number =>
      pids.reduce((sum, pid, index) => sum + Math.max(0, cpuTimeOf(pid) - (before[index] as number)), 0);
    const serverCpuMs = grown(this.#server, this.#serverCpuMs);
    const foreignMs = machineBusyMs() - this.#machineMs - clientCpuMs - serverCpuMs;
    const latencies = this.#latencies.subarray(0, this.#timed).sort();
    const at = (fraction: number): number | undefined => latencies[Math.floor((latencies.length - 1) * fraction)];
    this.#result = {
      operations: this.#operations,
      elapsedMs,
      clientCpuMs,
      serverCpuMs: KNOWS_CPU_TIME && this.#backends.length > 0 ? grown(this.#backends, this.#backendCpuMs) : undefined,
      foreignShare: KNOWS_CPU_TIME ? Math.max(0, foreignMs) / (elapsedMs * availableParallelism()) : 0,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    };
  }
}
