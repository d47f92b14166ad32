import { shuffled } from './random.js';
import { summarise, type Slice, type Summary } from './slice.js';

/** Somebody who takes turns. */
export interface Contestant {
  readonly name: string;
  /** Works for this long and tells what it did. */
  slice(durationMs: number): Promise<Slice>;
}

/** How turns are given. */
export interface RaceSettings {
  readonly sliceMs: number;
  readonly warmUpMs: number;
  readonly rounds: number;
  readonly random: () => number;
}

/**
 * Lets candidates take short turns, one at a time, in another order each round: whatever drifts on the machine hits
 * all of them alike, and ratios hold where absolute numbers don't.
 */
export async function race(contestants: readonly Contestant[], settings: RaceSettings): Promise<Map<string, Summary>> {
  if (settings.warmUpMs > 0) {
    for (const contestant of contestants) await contestant.slice(settings.warmUpMs);
  }
  const slices = new Map<string, Slice[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < settings.rounds; round++) {
    for (const contestant of shuffled(contestants, settings.random)) {
      slices.get(contestant.name)?.push(await contestant.slice(settings.sliceMs));
    }
  }
  return new Map([...slices].map(([name, own]) => [name, summarise(own)]));
}
