import { shuffled } from './random.js';
import { median, quantile, type Slice } from './slice.js';

/** Two that take their turns right after each other, round by round, so that both meet the same machine. */
export interface DuelResult {
  readonly own: readonly Slice[];
  readonly other: readonly Slice[];
  /** CPU time per operation, own over other, round by round. */
  readonly ratios: readonly number[];
}

/** How many rounds, and how the order within each is drawn. */
export interface DuelSettings {
  readonly rounds: number;
  readonly random: () => number;
}

/** The CPU time of the contestant's process for one operation, in microseconds. */
export function cpuPerOperation({ clientCpuMs = NaN, operations }: Slice): number {
  return (clientCpuMs * 1_000) / operations;
}

/** Lets two take turns; each function works for one slice. */
export async function duel(
  own: () => Promise<Slice>,
  other: () => Promise<Slice>,
  { rounds, random }: DuelSettings,
): Promise<DuelResult> {
  const result = { own: [] as Slice[], other: [] as Slice[] };
  for (let round = 0; round < rounds; round++) {
    const turns = [async () => void result.own.push(await own()), async () => void result.other.push(await other())];
    for (const turn of shuffled(turns, random)) await turn();
  }
  const ratios = result.own.map((each, round) => cpuPerOperation(each) / cpuPerOperation(result.other[round] as Slice));
  return { ...result, ratios };
}

/** `0.98` and `0.96–1.01`: the median of ratios and their quartiles, as tables show them. */
export function ratioCells(ratios: readonly number[]): [middle: string, quartiles: string] {
  return [median(ratios).toFixed(3), `${quantile(ratios, 0.25).toFixed(3)}–${quantile(ratios, 0.75).toFixed(3)}`];
}
