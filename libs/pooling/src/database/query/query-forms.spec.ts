import type { QueryResult } from 'pg';
import { promiseOf, type QueryOutcome } from './query-forms.js';

const RESULT = { rows: [{ n: 1 }] } as unknown as QueryResult;
const NONE = undefined as unknown as QueryResult;

describe('a promise made of a callback', () => {
  it('tells once that it is answered, before it settles, however often it is called back', async () => {
    const failure = new Error('failed');
    const told = vi.fn<() => void>();
    const twice = (one: Parameters<QueryOutcome>, other: Parameters<QueryOutcome>): Promise<unknown> =>
      promiseOf(
        (callback) => {
          callback(...one);
          expect(told).toHaveBeenCalledTimes(1);
          callback(...other);
        },
        (result) => result,
        told,
      );
    await expect(twice([undefined, RESULT], [failure, NONE])).resolves.toBe(RESULT);
    told.mockClear();
    await expect(twice([failure, NONE], [undefined, RESULT])).rejects.toBe(failure);
    expect(told).toHaveBeenCalledTimes(1);
  });

  it('rejects when the query can’t be started, and is over then', async () => {
    const told = vi.fn<() => void>();
    let later: QueryOutcome | undefined;
    const start = (callback: QueryOutcome): void => {
      later = callback;
      throw new Error('not started');
    };
    await expect(promiseOf(start, (result) => result, told)).rejects.toThrow('not started');
    later?.(new Error('connection lost'), NONE);
    expect(told).toHaveBeenCalledTimes(1);
  });

  it('rejects when there is no answer to make something of', async () => {
    const shape = ({ rows }: QueryResult): unknown[] => rows;
    await expect(promiseOf((callback) => void setImmediate(callback, undefined, NONE), shape)).rejects.toThrow(
      TypeError,
    );
  });
});
