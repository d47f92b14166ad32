import type { PlannedRun } from './plan-watch.js';
import { StatementCache, type PreparedText } from './statement-cache.js';

/** A cache, and a text that is prepared by it. */
function prepared(): { readonly cache: StatementCache; readonly text: PreparedText; readonly replanned: string[] } {
  const replanned: string[] = [];
  const cache = new StatementCache(10, (text) => replanned.push(text));
  cache.use('select 1');
  return { cache, text: cache.use('select 1') as PreparedText, replanned };
}

describe('the statement cache', () => {
  it('knows how long a text usually takes once it has run', () => {
    const { cache, text } = prepared();
    expect([cache.usualMs('select 1'), cache.usualMs('select 2')]).toEqual([Infinity, Infinity]);
    cache.ran(text, { use: 1, turn: undefined, shared: false }, 12, 0);
    expect(cache.usualMs('select 1')).toBe(12);
  });

  it('takes a text for quick or slow by its custom plans, once its generic plan was given up', () => {
    const { cache, text, replanned } = prepared();
    const run = (at: number): void => {
      const turn = text.plans.takeTurn();
      const custom = text.customPlanned || turn === 'custom';
      const planned: PlannedRun = { use: custom ? undefined : at, turn, shared: false };
      cache.ran(text, planned, custom ? 1 : 40, at);
    };
    for (let at = 1; at < 3_000 && !text.customPlanned; at++) run(at);
    expect(replanned).toEqual(['select 1']);
    expect(cache.usualMs('select 1')).toBe(1);
    expect(cache.shareable(text)).toBe(true);
    for (let at = 0; at < 60; at++) cache.ran(text, { use: undefined, turn: undefined, shared: false }, 50, at);
    expect(cache.usualMs('select 1')).toBeGreaterThan(10);
    expect(cache.shareable(text)).toBe(false);
  });
});
