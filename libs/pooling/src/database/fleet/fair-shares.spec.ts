import fc from 'fast-check';
import { fairShares } from './fair-shares.js';

const wants = fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 30 });
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** By the definition: one after the other, each to whoever has least among those who still want some. */
function oneByOne(wanted: readonly number[], budget: number): number[] {
  const shares = wanted.map(() => 0);
  for (let left = budget; left > 0; left--) {
    const open = shares.map((share, index) => (share < wanted[index]! ? share : Infinity));
    const everybodyHasEnough = Math.min(...open) === Infinity;
    const poorest = everybodyHasEnough ? Math.min(...shares) : Math.min(...open);
    shares[(everybodyHasEnough ? shares : open).indexOf(poorest)]!++;
  }
  return shares;
}

describe('fair shares', () => {
  it.each([
    ['the same for all that want more than there is', [9, 9, 9], 9, [3, 3, 3]],
    ['what others leave, to those who want more', [2, 10, 10], 12, [2, 5, 5]],
    ['the rest to the first', [9, 9, 9], 11, [4, 4, 3]],
    ['what nobody wants, to those who have least', [8, 2, 1], 20, [8, 6, 6]],
    ['nothing to most when there is less than one for each', [5, 5, 5], 2, [1, 1, 0]],
    ['all to the only one', [3], 20, [20]],
    ['nothing of nothing', [1, 2], 0, [0, 0]],
    ['to nobody', [], 7, []],
  ])('give %s', (_, wanted, budget, shares) => {
    expect(fairShares(wanted, budget)).toEqual(shares);
  });

  it('are those that sharing one after the other gives', () => {
    fc.assert(
      fc.property(wants, fc.nat({ max: 600 }), (wanted, budget) => {
        const sorted = (shares: number[]): number[] => shares.toSorted((one, other) => one - other);
        const shares = fairShares(wanted, budget);
        expect(sum(shares)).toBe(budget);
        expect(sorted(shares)).toEqual(sorted(oneByOne(wanted, budget)));
      }),
      { numRuns: 2_000 },
    );
  });
});
