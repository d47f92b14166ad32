import type { SeededRandom } from '#test/support/random.js';

class Money {
  constructor(
    readonly amount: number,
    readonly currency: string,
  ) {}
}

const circular: Record<string, unknown> = { name: 'circular' };
circular['self'] = circular;

const selfish: { toPostgres(): unknown } = { toPostgres: () => selfish };

/** What a caller may pass as a parameter, by kinds; made anew each time, because some of them can be changed. */
const MAKERS: readonly (() => unknown)[] = [
  () => null,
  () => undefined,
  ...[0, -0, 1, -1, 7, 1.5, 0.1, 1e21, 1e-7, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 53, Number.MIN_VALUE].map(
    (number) => () => number,
  ),
  ...[0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n].map((number) => () => number),
  () => true,
  () => false,
  ...['', '7', '-7', '1.5', 'plain', 'sad', '(1,two)', '{1,2}', '{}', '[1,5)', '2025-01-01', '12:34', '{"a":1}'].map(
    (text) => () => text,
  ),
  () => 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  () => '2020-01-01T00:00:00+05:00',
  () => '\\x00ff',
  () => 'ünïcödé 🙂',
  () => 'it\'s "quoted" \\ $1 %s',
  () => 'nul \0 byte',
  () => 'lone \ud800 surrogate',
  () => 'long '.repeat(20_000),
  () => 'ü'.repeat(41),
  () => new Date('2025-02-28T23:59:59.285Z'),
  () => new Date(0),
  () => new Date(NaN),
  () => new Date(-62_198_755_200_000),
  () => new Date(Date.UTC(-1, 0, 1)),
  () => new Date(8.64e15),
  () => new Date(-8.64e15),
  () => new Date('12345-01-01T00:00:00Z'),
  () => Buffer.from([0, 255, 127, 128]),
  () => Buffer.alloc(0),
  () => Buffer.alloc(70_000, 'x'),
  () => new Uint8Array([1, 2, 3]),
  () => new Uint8Array([1, 2, 3, 4]).subarray(1, 3),
  () => new Uint16Array([1, 515]),
  () => new Float64Array([1.5]),
  () => new DataView(new ArrayBuffer(3), 1),
  () => new ArrayBuffer(2),
  () => [],
  () => [1, 2, 3],
  () => [1, null, undefined, 2],
  // oxlint-disable-next-line no-sparse-arrays
  () => [1, , 3],
  () => [
    [1, 2],
    [3, 4],
  ],
  () => [[], []],
  () => ['a', 'b "c"', 'd\\e', '', 'NULL', '{,}'],
  () => [true, false],
  () => [1n, 2n],
  () => [new Date('2025-02-28T23:59:59.285Z'), null],
  () => [Buffer.from([1, 2]), new Uint8Array([3])],
  () => [{ a: 1 }, { b: [2] }],
  () => [{ toPostgres: () => 7 }, '8'],
  () => [Symbol('in an array')],
  () => ({ a: 1, b: [1, 'two', null] }),
  () => ({}),
  () => Object.assign(Object.create(null) as object, { a: 1 }),
  () => ({ toPostgres: () => '7' }),
  () => ({ toPostgres: () => 7 }),
  () => ({ toPostgres: () => null }),
  () => ({ toPostgres: () => undefined }),
  () => ({ toPostgres: () => [1, 2] }),
  () => ({ toPostgres: () => Buffer.from('7') }),
  () => ({ toPostgres: (prepare: (value: unknown) => unknown) => prepare(new Date(0)) }),
  () => ({ toPostgres: () => ({ toPostgres: () => 'twice' }) }),
  () => ({
    toPostgres: () => {
      throw new RangeError('unsendable');
    },
  }),
  () => selfish,
  () => ({ toPostgres: 'no function', a: 1 }),
  () => ({ toJSON: () => ({ made: 'by toJSON' }) }),
  () => ({ toJSON: () => undefined }),
  () => circular,
  () => new Money(12, 'EUR'),
  () => new Map([['a', 1]]),
  () => new Set([1]),
  () => /regular/g,
  () => new Error('as a parameter'),
  () => Object('text') as unknown,
  () => Object(7) as unknown,
  () => Object(7n) as unknown,
  () => Object(true) as unknown,
  () => Symbol('symbol'),
  () => Symbol(),
  () => function named() {},
  () => (): number => 1,
  () => class Nothing {},
  () => Promise.resolve(1),
  () => new URL('http://localhost/'),
  () => globalThis.structuredClone,
];

/** Parameters that most types can do something with. */
const COMMON: readonly (() => unknown)[] = [() => null, () => 1, () => 7, () => '7', () => '1', () => 'text'];

/** One parameter of any kind. */
export function anyParameter(random: SeededRandom): unknown {
  const makers = random.next() < 0.3 ? COMMON : MAKERS;
  return (makers[random.between(0, makers.length - 1)] as () => unknown)();
}
