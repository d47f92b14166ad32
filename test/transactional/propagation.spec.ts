import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import type { Propagation } from '#pooling/database/kysely/ambient/transactional-options.js';
import { Laboratory, rejection } from './laboratory.js';

const MODES: readonly Propagation[] = [
  'required',
  'requires-new',
  'nested',
  'mandatory',
  'supports',
  'not-supported',
  'never',
];

/** Where a call's statements run, as seen from the call around it; or the error that it gets. */
type Place =
  'same' | 'savepoint' | 'other' | 'none' | 'ERR_POOL_TRANSACTION_REQUIRED' | 'ERR_POOL_TRANSACTION_FORBIDDEN';

/** What Spring's table says of an inner call in a transaction, and of one in none. */
const WITH: Readonly<Record<Propagation, Place>> = {
  required: 'same',
  'requires-new': 'other',
  nested: 'savepoint',
  mandatory: 'same',
  supports: 'same',
  'not-supported': 'none',
  never: 'ERR_POOL_TRANSACTION_FORBIDDEN',
};
const WITHOUT: Readonly<Record<Propagation, Place>> = {
  required: 'other',
  'requires-new': 'other',
  nested: 'other',
  mandatory: 'ERR_POOL_TRANSACTION_REQUIRED',
  supports: 'none',
  'not-supported': 'none',
  never: 'none',
};

/** Whether a mode, called outside, runs in a transaction. */
const BEGINS: Readonly<Record<Propagation, boolean>> = {
  required: true,
  'requires-new': true,
  nested: true,
  mandatory: false,
  supports: false,
  'not-supported': false,
  never: false,
};

const PAIRS = MODES.filter((mode) => mode !== 'mandatory').flatMap((outer) =>
  MODES.map((inner) => ({ outer, inner, place: (BEGINS[outer] ? WITH : WITHOUT)[inner] })),
);

let laboratory: Laboratory;
beforeAll(async () => {
  laboratory = await Laboratory.open();
});
afterAll(() => laboratory[Symbol.asyncDispose]());
beforeEach(() => laboratory.clear());

/** Whether two statements in a row belong to one transaction. */
async function isInTransaction(): Promise<boolean> {
  return (await laboratory.transactionId()) === (await laboratory.transactionId());
}

describe('a call in another', () => {
  it.each(PAIRS)('$inner in $outer: $place', async ({ outer, inner, place }) => {
    const { db } = laboratory;
    const where = async (): Promise<Place> => {
      const around = await laboratory.transactionId();
      return await transactional(db, { propagation: inner }, async () => {
        if (!(await isInTransaction())) return 'none';
        const id = await laboratory.transactionId();
        if (id !== around) return 'other';
        return inner === 'nested' ? 'savepoint' : 'same';
      }).catch(({ code }: { code: Place }) => code);
    };
    expect(await transactional(db, { propagation: outer }, where)).toBe(place);
  });

  it.each(PAIRS)('$inner in $outer: what stays when only the inner one fails', async ({ outer, inner, place }) => {
    const { db } = laboratory;
    await transactional(db, { propagation: outer }, async () => {
      await laboratory.write('before');
      await transactional(db, { propagation: inner }, async () => {
        await laboratory.write('inner');
        throw new Error('inner');
      }).catch(() => undefined);
      await laboratory.write('after');
    });
    // An inner call that has joined decides nothing: its caller caught the error, and went on.
    const innerStays = place === 'same' || place === 'none';
    expect(await laboratory.committed()).toEqual(innerStays ? ['after', 'before', 'inner'] : ['after', 'before']);
  });

  it.each(PAIRS)('$inner in $outer: what stays when only the outer one fails', async ({ outer, inner, place }) => {
    const { db } = laboratory;
    await rejection(
      transactional(db, { propagation: outer }, async () => {
        await laboratory.write('before');
        await transactional(db, { propagation: inner }, () => laboratory.write('inner')).catch(() => undefined);
        throw new Error('outer');
      }),
    );
    const stays = BEGINS[outer] ? [] : ['before'];
    if (place === 'other' || place === 'none') stays.push('inner');
    expect(await laboratory.committed()).toEqual(stays.toSorted());
  });

  it('mandatory outside runs nothing, and says who may call it', async () => {
    const error = await rejection(
      transactional(laboratory.db, { propagation: 'mandatory' }, () => laboratory.write('never')),
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_REQUIRED', pool: 'default' });
    expect(error.message).toMatch(/mandatory/);
    expect(await laboratory.committed()).toEqual([]);
  });

  it('never in a transaction says where that was begun', async () => {
    const error = await rejection(
      transactional(laboratory.db, () => transactional(laboratory.db, { propagation: 'never' }, () => undefined)),
    );
    expect(error.message).toMatch(/propagation\.spec\.ts:\d+/);
  });

  it('in three levels of all modes, each one finds what the one around it has left', async () => {
    const { db } = laboratory;
    const seen: string[] = [];
    const expected: string[] = [];
    for (const outer of ['required', 'not-supported'] as const) {
      for (const middle of MODES) {
        for (const inner of MODES) {
          const around = (BEGINS[outer] ? WITH : WITHOUT)[middle];
          if (around.startsWith('ERR_')) continue;
          expected.push(`${outer} ${middle} ${inner}: ${(around === 'none' ? WITHOUT : WITH)[inner]}`);
          await transactional(db, { propagation: outer }, () =>
            transactional(db, { propagation: middle }, async () => {
              const id = await laboratory.transactionId();
              const place = await transactional(db, { propagation: inner }, async (): Promise<Place> => {
                if (!(await isInTransaction())) return 'none';
                if ((await laboratory.transactionId()) !== id) return 'other';
                return inner === 'nested' ? 'savepoint' : 'same';
              }).catch(({ code }: { code: Place }) => code);
              seen.push(`${outer} ${middle} ${inner}: ${place}`);
            }),
          );
        }
      }
    }
    expect(seen).toEqual(expected);
  });
});
