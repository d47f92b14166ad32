import { runHttpHostile } from './hostile/http-hostile.js';

describe('the HTTP client among hostile servers', () => {
  it(
    'settles every exchange, mixes up none, and leaves nothing behind (short form of `npm run hostile -- --http`)',
    { timeout: 120_000 },
    async () => {
      const { failures, outcomes } = await runHttpHostile({ seed: 20_261_128, exchanges: 1_500 });
      expect(failures).toEqual([]);
      expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(1_500);
      expect(outcomes['answered']).toBeGreaterThan(300);
    },
  );
});
