import { PrimaryLog } from './primary-log.js';

describe('how far behind a replica is', () => {
  it('is nothing where it has all that is known, however long the primary has been quiet', () => {
    const log = new PrimaryLog();
    expect(log.lagMs(0n, 1_000, undefined)).toBe(0);
    log.note(100n, 1_000);
    expect(log.lagMs(100n, 500_000, 499_000)).toBe(0);
  });

  it('is how long ago the primary was first seen where the replica isn’t', () => {
    const log = new PrimaryLog();
    for (const [lsn, at] of [
      [100n, 1_000],
      [200n, 2_000],
      [200n, 3_000],
      [300n, 4_000],
    ] as const)
      log.note(lsn, at);
    expect(log.lagMs(250n, 5_000, undefined)).toBe(1_000);
    expect(log.lagMs(199n, 5_000, undefined)).toBe(3_000);
    expect(log.lagMs(300n, 5_000, undefined)).toBe(0);
  });

  it('is told in bytes as well, by where the primary was seen last', () => {
    const log = new PrimaryLog();
    expect(log.lagBytes(100n)).toBeUndefined();
    log.note(100n, 1_000);
    log.note(5_000_000_300n, 2_000);
    expect(log.lagBytes(100n)).toBe(5_000_000_200);
    expect(log.lagBytes(5_000_000_300n)).toBe(0);
    expect(log.lagBytes(5_000_000_301n)).toBe(0);
  });

  it('is as long as its last transaction is old where the primary wasn’t looked at in between, within what was seen', () => {
    const log = new PrimaryLog();
    log.note(100n, 0);
    log.note(200n, 60_000);
    // It lacks what was written at any time of that minute.
    expect(log.lagMs(150n, 60_500, 30_000)).toBe(30_000);
    expect(log.lagMs(150n, 60_500, 90_000)).toBe(60_500);
    expect(log.lagMs(150n, 60_500, 100)).toBe(500);
    // Before the first look anything may have been written.
    expect(log.lagMs(50n, 60_500, 3_600_000)).toBe(3_600_000);
    expect(log.lagMs(50n, 60_500, undefined)).toBe(60_500);
  });

  it('begins anew with a primary that is not as far as the one before', () => {
    const log = new PrimaryLog();
    log.note(500n, 1_000);
    log.note(400n, 2_000);
    expect(log.lagMs(400n, 9_000, 7_000)).toBe(0);
    expect(log.lagMs(399n, 9_000, undefined)).toBe(7_000);
  });

  it('is known for a quarter of an hour of looks', () => {
    const log = new PrimaryLog();
    for (let at = 0; at < 2_000; at++) log.note(BigInt(at), at * 1_000);
    expect(log.lagMs(1_998n, 2_000_000, undefined)).toBe(1_000);
    expect(log.lagMs(0n, 2_000_000, undefined)).toBe(900_000);
  });
});
