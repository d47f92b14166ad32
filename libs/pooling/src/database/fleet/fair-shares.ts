/**
 * Shares a whole number among those who want some of it, max-min fair: nobody gets more than they want while another who
 * wants more has less. What is left when everybody has what they want goes to those who have least. A remainder goes to the
 * first of them.
 *
 * Bertsekas and Gallager, Data Networks, 6.5.2.
 */
export function fairShares(wants: readonly number[], budget: number): number[] {
  let total = 0;
  for (const want of wants) total += want;
  return total > budget ? scarceShares(wants, budget) : plentifulShares(wants, budget);
}

/** Nobody gets more than a certain level. */
function scarceShares(wants: readonly number[], budget: number): number[] {
  let level = -1;
  let rest = 0;
  // Those who want less than the level leave something to the others: the level rises until it fits.
  for (let next = Math.floor(budget / wants.length); next > level;) {
    level = next;
    let left = budget;
    let count = 0;
    for (const want of wants) {
      if (want <= level) left -= want;
      else count++;
    }
    next = Math.floor(left / count);
    rest = left - level * count;
  }
  return wants.map((want) => {
    if (want <= level) return want;
    return rest-- > 0 ? level + 1 : level;
  });
}

/** Everybody gets what they want, and nobody less than a certain level. */
function plentifulShares(wants: readonly number[], budget: number): number[] {
  let level = Infinity;
  let rest = 0;
  // Those who want more than the level leave less to the others: the level falls until it fits.
  for (let next = Math.floor(budget / wants.length); next < level;) {
    level = next;
    let left = budget;
    let count = 0;
    for (const want of wants) {
      if (want > level) left -= want;
      else count++;
    }
    next = Math.floor(left / count);
    rest = left - level * count;
  }
  return wants.map((want) => {
    if (want > level) return want;
    return rest-- > 0 ? level + 1 : level;
  });
}
