/** Literals of PostgreSQL's types: the usual ones, and those at the edges. */
export const LITERALS: Readonly<Record<string, readonly string[]>> = {
  bool: ['true', 'false'],
  int2: ['0', '-32768', '32767'],
  int4: ['0', '-2147483648', '2147483647', '7'],
  int8: ['0', '-9223372036854775808', '9223372036854775807', '9007199254740993'],
  numeric: ['0', '-1.50', '12345678901234567890.123456789', 'NaN', 'Infinity', '1e-30'],
  float4: ['0', '-0', '1.5', '3.4e38', 'NaN', '-Infinity', '1e-45'],
  float8: ['0', '-0', '0.1', '1e308', 'NaN', 'Infinity', '5e-324'],
  money: ['0', '-12.34', '92233720368547758.07'],
  text: ['', 'plain', 'ünïcödé 🙂', 'a"b\\c', ' {},', 'null', 'NULL', 'x\ny\tz'],
  varchar: ['', 'varying', 'with space '],
  bpchar: ['a', 'ab  ', ''],
  char: ['a', ''],
  name: ['name', ''],
  bytea: ['\\x', '\\x00ff7f80', '\\x5c5c'],
  date: ['2025-02-28', 'infinity', '-infinity', '0044-03-15 BC', '0001-01-01', '5874897-12-31', '12345-06-07'],
  time: ['00:00', '23:59:59.999999', '24:00'],
  timetz: ['12:34:56.789+05:30', '00:00-08'],
  timestamp: [
    '2025-02-28 23:59:59.285',
    'infinity',
    '-infinity',
    '0044-03-15 12:00 BC',
    '0099-12-31 01:02:03',
    '0001-01-01',
    '294276-12-31 23:59:59.999999',
    '10000-01-01',
    '1969-12-31 23:59:59.9999',
  ],
  timestamptz: [
    '2025-02-28 23:59:59.999999+05:30',
    'infinity',
    '-infinity',
    '0044-03-15 12:00 BC',
    '0099-12-31 01:02:03+00',
    '1883-11-18 12:00:00+00',
    '294276-12-31 23:59:59.999999+00',
    '1970-01-01 00:00:00.001+00',
    '2025-03-30 01:30:00+00',
  ],
  interval: ['0', '1 year 2 mons 3 days 04:05:06.789', '-1 day +00:00:01', '178000000 years', '-00:00:00.000001'],
  uuid: ['b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000'],
  json: ['{"a":1,"__proto__":{"b":2}}', '[1,null,"x"]', '"text"', 'null', '1e400', '{"a":1,"a":2}'],
  jsonb: ['{"b":1,"a":[true,null]}', '9007199254740993', 'null', '"\\u00fc"'],
  jsonpath: ['$.a[*] ? (@ > 1)'],
  xml: ['<a>b</a>', ''],
  bit: ['1', '0'],
  varbit: ['', '10110'],
  inet: ['127.0.0.1', '::1/64', '10.0.0.0/8'],
  cidr: ['10.0.0.0/8', 'fe80::/10'],
  macaddr: ['08:00:2b:01:02:03'],
  macaddr8: ['08:00:2b:01:02:03:04:05'],
  point: ['(1,2)', '(-1.5,1e300)', '(NaN,Infinity)'],
  line: ['{1,2,3}'],
  lseg: ['[(0,0),(1,1)]'],
  box: ['(1,1),(0,0)'],
  path: ['[(0,0),(1,1)]', '((0,0),(1,1))'],
  polygon: ['((0,0),(1,1),(1,0))'],
  circle: ['<(1,2),3>', '<(0,0),0.5>'],
  tsvector: ["'a':1 'b':2A", ''],
  tsquery: ['a & !b', ''],
  oid: ['0', '4294967295'],
  xid: ['0', '4294967295'],
  xid8: ['0', '18446744073709551615'],
  cid: ['7'],
  tid: ['(0,1)'],
  pg_lsn: ['0/0', 'FFFFFFFF/FFFFFFFF'],
  pg_snapshot: ['10:20:10,14'],
  txid_snapshot: ['10:20:10,14'],
  regclass: ['pg_class', '0'],
  regtype: ['int4', '0'],
  regproc: ['now', '0'],
  regprocedure: ['abs(int4)', '0'],
  regoper: ['pg_catalog.||/', '0'],
  regoperator: ['+(int4,int4)', '0'],
  regnamespace: ['pg_catalog', '0'],
  regrole: ['0'],
  regconfig: ['simple'],
  regdictionary: ['simple'],
  regcollation: ['"C"'],
  refcursor: ['portal'],
  int2vector: ['1 2 3', ''],
  oidvector: ['1 2 3', ''],
  aclitem: ['postgres=r/postgres'],
  gtsvector: [],
  int4range: ['[1,5)', 'empty', '(,)', '[3,3]'],
  int8range: ['[1,9007199254740993)', 'empty'],
  numrange: ['[1.5,2.5]', '(,1)'],
  tsrange: ['[2025-01-01,2025-02-01)', '(,)'],
  tstzrange: ['["2025-01-01 00:00+00",infinity)', 'empty'],
  daterange: ['[2025-01-01,2025-02-01)', '(,)'],
  int4multirange: ['{}', '{[1,3),[5,7)}'],
  int8multirange: ['{[1,3)}'],
  nummultirange: ['{(,1],[2,)}'],
  tsmultirange: ['{[2025-01-01,2025-02-01)}'],
  tstzmultirange: ['{["2025-01-01 00:00+00",)}'],
  datemultirange: ['{[2025-01-01,2025-02-01)}', '{}'],
  'public.mood': ['sad', 'ok', "it's", ''],
  'public.digit': ['1', '9'],
  'public.pair': ['(1,two)', '(,)', '(-1,"a ""b"", \\\\c")'],
  'public.nested': ['("(1,two)","{1,NULL}",sad)', '(,,)'],
  'public.span': ['[1,2)', 'empty'],
  'public.span_set': ['{[1,2),[5,6)}'],
};

/** What the run has of types of its own. */
export const OWN_TYPES = `
  create type public.mood as enum ('sad', 'ok', 'it''s', '');
  create domain public.digit as int check (value < 10);
  create type public.pair as (a int, b text);
  create type public.nested as (p public.pair, n int[], m public.mood);
  create type public.span as range (subtype = float8, multirange_type_name = public.span_set);`;

/** Types that have no input of their own, or no arrays. */
const WITHOUT_ARRAY = new Set(['int2vector', 'oidvector', 'gtsvector', 'txid_snapshot']);

export interface SqlType {
  /** As it is written in a cast. */
  readonly cast: string;
  readonly literals: readonly string[];
}

/** Every type of the list, and arrays of it. */
export const TYPES: readonly SqlType[] = Object.entries(LITERALS).flatMap(([name, literals]) => {
  // `char` alone is `bpchar(1)`.
  const cast = name === 'char' ? '"char"' : name;
  const single = { cast, literals };
  if (WITHOUT_ARRAY.has(name)) return [single];
  const delimiter = name === 'box' ? ';' : ',';
  const quoted = literals.map((literal) => `"${literal.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  const [first = 'NULL', second = 'NULL'] = quoted;
  const arrays = [
    '{}',
    `{${[...quoted, 'NULL'].join(delimiter)}}`,
    `{{${first}${delimiter}${second}}${delimiter}{NULL${delimiter}${first}}}`,
    `[0:1]={${first}${delimiter}NULL}`,
  ];
  return [single, { cast: `${cast}[]`, literals: arrays }];
});

/** A literal as SQL. */
export function quoted(literal: string): string {
  return `E'${literal.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Names of columns that JavaScript or SQL may take for something else. */
export const COLUMN_NAMES: readonly string[] = [
  'a',
  'b',
  'id',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'then',
  'length',
  '0',
  '1',
  '10',
  '-1',
  'a b',
  'A',
  'ünï',
  '"',
  "'",
  '\\',
  '?column?',
  'select',
  'x'.repeat(63),
];
