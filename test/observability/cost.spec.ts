import { runTypeScript } from '#test/support/child.js';

interface Cost {
  /** Times as long as a lease in a pool without channels. */
  readonly ratio: number;
  /** Nanoseconds for a lease. */
  readonly ns: number;
}

describe('the channels', () => {
  // In a process of its own: the test runner turns every use of an import into a look-up.
  it('cost a lease next to nothing while nobody listens', async () => {
    const child = runTypeScript(new URL('./programs/lease-cost.ts', import.meta.url));
    const [line] = await child.prints(/^\{.*\}$/m);
    const { unheard, heard } = JSON.parse(line) as Record<'unheard' | 'heard', Cost>;
    console.log(
      `a lease that nobody hears of: ${unheard.ns.toFixed(0)} ns, ${unheard.ratio.toFixed(2)} of one in a pool without ` +
        `channels; one that is heard of: ${heard.ns.toFixed(0)} ns, ${heard.ratio.toFixed(2)}`,
    );
    // Measured 1.02 to 1.13. An object made for nobody would double it.
    expect(unheard.ratio).toBeLessThan(1.5);
    expect(await child.ended).toMatchObject({ code: 0 });
  });
});
