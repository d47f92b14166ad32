import { UsualDuration } from './usual-duration.js';

describe('the usual duration', () => {
  it('is unknown before the first run, and that of the first run after it', () => {
    const usual = new UsualDuration();
    expect(usual.usualMs).toBe(Infinity);
    usual.learn(3);
    expect(usual.usualMs).toBe(3);
  });

  it('follows quick runs at once, and slow ones only when there are many', () => {
    const usual = new UsualDuration();
    usual.learn(1);
    usual.learn(60_000);
    expect(usual.usualMs).toBeLessThan(1.5);
    for (let run = 0; run < 50; run++) usual.learn(100);
    expect(usual.usualMs).toBeGreaterThan(50);
    for (let run = 0; run < 6; run++) usual.learn(1);
    expect(usual.usualMs).toBeLessThan(3);
  });
});
