import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { Kysely } from 'kysely';
import * as first from 'nestjs-pooling';

/** As where an application and a package of its workspace have each installed the library. */
async function anotherCopy(): Promise<typeof first> {
  vi.resetModules();
  const second = await import('nestjs-pooling');
  expect(second.DatabasePool).not.toBe(first.DatabasePool);
  return second;
}

const REFUSED = {
  code: 'ERR_POOL_TRANSACTION_FORBIDDEN',
  message: expect.stringMatching(/two copies of nestjs-pooling.*install the package once/) as string,
};

describe('transactions of one copy of the library on a database of another', () => {
  // Nothing dials: there is no server.
  const pool = new first.DatabasePool('default', { url: 'postgres://127.0.0.1:1/none' });
  const db = first.createKysely(pool) as Kysely<unknown>;
  afterAll(() => pool.close());

  it('are refused, instead of running what is called without one', async () => {
    const { transactional } = await anotherCopy();
    const called = vi.fn<() => Promise<void>>(() => Promise.resolve());
    await expect((async () => transactional(db, called))()).rejects.toMatchObject(REFUSED);
    expect(called).not.toHaveBeenCalled();
  });

  it('are refused to the methods of a class that has its decorator from there', async () => {
    const { Transactional } = await anotherCopy();

    @Injectable()
    class Orders {
      @Transactional()
      place(): Promise<string> {
        return Promise.resolve('placed');
      }
    }
    const testing = await Test.createTestingModule({
      providers: [Orders, { provide: first.getDbToken(), useValue: db }],
    }).compile();
    await expect(testing.get(Orders).place()).rejects.toMatchObject(REFUSED);
  });
});
