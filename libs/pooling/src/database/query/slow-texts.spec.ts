import { SlowTexts } from './slow-texts.js';

describe('SlowTexts', () => {
  it('knows a text that took long, and forgets it when it is quick', () => {
    const texts = new SlowTexts();
    texts.ran('quick', 9.9);
    texts.ran('report', 10);
    texts.ran('report', 400);
    expect([texts.has('quick'), texts.has('report'), texts.has('unknown')]).toEqual([false, true, false]);
    texts.ran('report', 1);
    expect(texts.has('report')).toBe(false);
    texts.ran('report', 1);
    expect(texts.has('report')).toBe(false);
  });

  it('knows a limited number of texts, and none that are very long', () => {
    const texts = new SlowTexts();
    for (let n = 0; n < 300; n++) texts.ran(`report ${n}`, 100);
    const known = Array.from({ length: 300 }, (_, n) => texts.has(`report ${n}`));
    expect(known.filter(Boolean)).toHaveLength(256);
    expect(known.at(-1)).toBe(true);
    const long = `select ${'1, '.repeat(20_000)} 1`;
    texts.ran(long, 100);
    expect(texts.has(long)).toBe(false);
  });
});
