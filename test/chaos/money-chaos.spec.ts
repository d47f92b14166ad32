import { DatabasePool } from '#pooling/database/database-pool.js';
import { HandingOn } from '#pooling/database/connection/handing-on.js';
import { Opening } from '#pooling/database/query/opening.js';
import { createTestDatabase } from '#test/support/database.js';
import { MONEY_TABLES, runMoneyChaos } from './money-chaos.js';

/** `MONEY_SEED=…` replays what a failure named; `MONEY_MS=…` is how long each way takes. */
const SEED = Number(process.env.MONEY_SEED ?? 20_261_128);
const DURATION_MS = Number(process.env.MONEY_MS ?? 2_000);

it.each([
  ['with two connections', { size: 2 }, true],
  ['with three connections and pipelining', { size: 3, pipelining: {} }, true],
  // Such a pool doesn't ask whether a pooler stands before its server.
  ['without prepared statements', { size: 2, preparedStatements: false }, false],
])(
  `money adds up where connections are cut, %s (seed ${SEED})`,
  async (_, options, handsOn) => {
    await using database = await createTestDatabase();
    for (const statement of MONEY_TABLES) await database.query(statement);
    using handedOn = vi.spyOn(HandingOn.prototype, 'answered');
    using begunAgain = vi.spyOn(Opening.prototype, 'again');
    const { outcomes, cuts, broken } = await runMoneyChaos({
      seed: SEED,
      durationMs: DURATION_MS,
      enough: (committed, cut) =>
        committed > 20 && cut > 5 && (handedOn.mock.calls.length > 0 || !handsOn) && begunAgain.mock.calls.length > 0,
      url: database.url,
      createPool: (url) =>
        new DatabasePool('money', {
          url,
          maxOverflow: 0,
          applicationName: 'money',
          acquireTimeoutMs: 60_000,
          ...options,
        }),
    });
    expect(broken).toEqual([]);
    expect(outcomes.committed).toBeGreaterThan(20);
    expect(cuts).toBeGreaterThan(5);
    expect(handedOn.mock.calls.length > 0).toBe(handsOn);
    expect(begunAgain).toHaveBeenCalled();
  },
  120_000 + 2 * DURATION_MS,
);
