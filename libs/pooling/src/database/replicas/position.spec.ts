import { includes, later, parseLsn, replayable } from './position.js';

const GEOMETRY = { page: 8_192n, segment: 16_777_216n };

describe('a position of the log', () => {
  it.each([
    ['0/0', 0n],
    ['0/174C018', 0x174c018n],
    ['1A/FFFFFFFF', 0x1affffffffn],
    ['FFFFFFFF/FFFFFFFF', 0xffffffffffffffffn],
  ])('is read as PostgreSQL writes it: %s', (text, lsn) => {
    expect(parseLsn(text)).toBe(lsn);
  });

  it.each(['', '0', '0/', '/0', '0/174C018 ', '100000000/0', 'G/0', null, undefined, 7])(
    'is nothing else: %j',
    (text) => {
      expect(parseLsn(text)).toBeUndefined();
    },
  );

  it.each([
    ['behind the header of a page that nobody has begun', '0/174C018', '0/174C000'],
    ['behind the header of a segment that nobody has begun', '0/2000028', '0/2000000'],
    ['in the middle of a page', '0/174C020', '0/174C020'],
    ['where a page begins', '0/174C000', '0/174C000'],
    ['as far into another page as the header of a segment is long', '0/174C028', '0/174C028'],
    ['within the header of a segment, where nothing can be', '0/2000018', '0/2000018'],
  ])('%s is replayed at its end: %s', (_where, insert, replay) => {
    expect(replayable(parseLsn(insert) as bigint, GEOMETRY)).toBe(parseLsn(replay));
  });

  it('is left as it is where nobody knows how the log is divided', () => {
    expect(replayable(0x174c018n, undefined)).toBe(0x174c018n);
  });

  it('is included by a replica that is as far, on the same timeline or a later one', () => {
    const needed = { timeline: 2, lsn: 100n };
    expect(includes({ timeline: 2, lsn: 100n }, needed)).toBe(true);
    expect(includes({ timeline: 3, lsn: 101n }, needed)).toBe(true);
    expect(includes({ timeline: 2, lsn: 99n }, needed)).toBe(false);
    expect(includes({ timeline: 1, lsn: 1_000n }, needed)).toBe(false);
    expect(includes(undefined, needed)).toBe(false);
  });

  it('is later on a later timeline, whatever its number', () => {
    const [old, next] = [
      { timeline: 1, lsn: 900n },
      { timeline: 2, lsn: 100n },
    ];
    expect(later(old, next)).toBe(next);
    expect(later(next, old)).toBe(next);
    expect(later(old, { timeline: 1, lsn: 800n })).toBe(old);
    expect(later(undefined, old)).toBe(old);
    expect(later(old, undefined)).toBe(old);
  });
});
