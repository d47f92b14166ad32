import type { SeededRandom } from '#test/support/random.js';
import { anyParameter } from './js-values.js';
import { COLUMN_NAMES, quoted, TYPES, type SqlType } from './sql-values.js';

/** One thing that a case does; the same with `pg` and with the pool. */
export type Step =
  | { readonly kind: 'query'; readonly text: string; readonly values: readonly unknown[] }
  /** A change of the schema, on the connection under test or on another one. */
  | { readonly kind: 'change'; readonly text: string; readonly elsewhere: boolean }
  /** Half a minute goes by: a change that no error tells of is seen by then. */
  | { readonly kind: 'pause' }
  /** A parser of the caller's own, for `pg` as a whole. */
  | { readonly kind: 'parser'; readonly dataTypeId: number; readonly of: 'types' | 'client' };

/** On what a case runs. */
export type Way = 'pool' | 'pipelined' | 'client' | 'transaction' | 'bouncer';

export interface Case {
  readonly number: number;
  readonly way: Way;
  /** Makes what the case needs; runs before each of the two. */
  readonly before: string;
  readonly after: string;
  readonly steps: readonly Step[];
}

/** Ids of types whose texts have parsers of somebody's own now and then. */
const PARSED_TYPES = [16, 17, 20, 21, 23, 25, 114, 700, 701, 1_005, 1_007, 1_016, 1_082, 1_114, 1_184, 1_700, 3_802];

/** How the type of a column changes; the value means something before and after. */
const TYPE_CHANGES: readonly (readonly [from: string, to: string, using: string, values: readonly unknown[]])[] = [
  ['int', 'bigint', 'a', ['5', 5, 5_000_000_000, null]],
  ['int', 'text', 'a', ['007', 7, 'seven', null]],
  ['int', 'numeric', 'a', ['7', 7.5, '1e3']],
  ['text', 'int', "nullif(regexp_replace(a, '\\D', '', 'g'), '')::numeric::bigint::int", ['007', 7, 'seven', true]],
  ['text', 'uuid', 'null::uuid', ['b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'no uuid']],
  ['text', 'public.mood', 'null::public.mood', ['sad', 'unknown']],
  ['text', 'jsonb', 'to_jsonb(a)', ['{"a":1}', { a: 1 }, 'no json', [1, 2]]],
  ['text', 'text[]', 'array[a]', ['{a,b}', ['a', 'b'], 'no array']],
  ['timestamp', 'timestamptz', "a at time zone 'UTC'", ['2020-01-01T00:00:00+05:00', new Date(0)]],
  ['timestamptz', 'timestamp', "a at time zone 'UTC'", ['2020-01-01T00:00:00+05:00', new Date(0)]],
  ['date', 'timestamp', 'a', ['2020-01-01 12:34', new Date(0)]],
  ['real', 'double precision', 'a', ['0.1', 0.1]],
  ['varchar(3)', 'varchar(5)', 'a', ['abc', 'abcde']],
  ['public.mood', 'text', 'a::text', ['sad', 'unknown']],
  ['public.digit', 'int', 'a::int', [7, 70]],
  ['bytea', 'text', "encode(a, 'hex')", [Buffer.from('7'), '\\x37']],
  ['json', 'jsonb', 'a::jsonb', ['{"b":1,"a":2}', '{"a":1,"a":2}']],
];

/** How else a table changes under a text that reads or writes it. */
const TABLE_CHANGES: readonly string[] = [
  'alter table {} add c int default 3',
  'alter table {} drop b',
  'alter table {} drop b; alter table {} add b int',
  'alter table {} rename b to c',
  "alter table {} alter b type text using b || 'x'",
  'alter table {} alter b set default 9',
  'drop table {}; create table {} (b text, a int)',
  'drop table {}; create view {} as select 1 as a, 2 as b',
  'drop table {}',
];

const SETTINGS: readonly string[] = [
  "timezone = 'Asia/Kolkata'",
  "timezone = 'America/New_York'",
  "datestyle = 'SQL, DMY'",
  "datestyle = 'German'",
  'intervalstyle = iso_8601',
  "bytea_output = 'escape'",
  'extra_float_digits = 0',
  "search_path = 'pg_catalog'",
];

/** Makes cases out of a seed. */
export class Cases {
  readonly #random: SeededRandom;
  readonly #ways: readonly (readonly [number, Way])[];

  constructor(random: SeededRandom, ways: readonly (readonly [weight: number, way: Way])[]) {
    this.#random = random;
    this.#ways = ways;
  }

  next(number: number): Case {
    const random = this.#random;
    const way = random.pick(this.#ways);
    const make = random.pick<(number: number, way: Way) => Omit<Case, 'number' | 'way'>>([
      [4, () => this.#reads()],
      [6, () => this.#sends()],
      [2, (table) => this.#writes(table)],
      [way === 'pipelined' ? 0 : 2, (table) => this.#changesType(table, way)],
      [way === 'pipelined' ? 0 : 1, (table) => this.#changesTable(table, way)],
      [way === 'client' || way === 'pool' ? 1 : 0, () => this.#sets()],
      [way === 'client' || way === 'pool' ? 1 : 0, () => this.#parses(way)],
    ]);
    return { number, way, ...make(number, way) };
  }

  #one<Choice>(choices: readonly Choice[]): Choice {
    return choices[this.#random.between(0, choices.length - 1)] as Choice;
  }

  #value({ cast, literals }: SqlType): string {
    if (literals.length === 0 || this.#random.next() < 0.1) return `null::${cast}`;
    return `${quoted(this.#one(literals))}::${cast}`;
  }

  #columns(most: number): string {
    const columns = Array.from({ length: this.#random.between(1, most) }, () => {
      const value =
        this.#random.next() < 0.05 ? `row(${this.#value(this.#one(TYPES))}, 1)` : this.#value(this.#one(TYPES));
      if (this.#random.next() < 0.1) return value;
      return `${value} as "${this.#one(COLUMN_NAMES).replaceAll('"', '""')}"`;
    });
    return columns.join(', ');
  }

  #uses(text: string, values: () => readonly unknown[]): Step[] {
    return Array.from({ length: this.#random.between(3, 4) }, () => ({ kind: 'query', text, values: values() }));
  }

  /** Rows of any types under any names. */
  #reads(): Pick<Case, 'before' | 'after' | 'steps'> {
    const rows = this.#one(['generate_series(1, $1::int) n', '(select 1 where $1::int > 0) n']);
    const text = `select ${this.#columns(8)} from ${rows}`;
    return { before: '', after: '', steps: this.#uses(text, () => [this.#random.between(0, 3)]) };
  }

  /** Parameters of any kind for any type. */
  #sends(): Pick<Case, 'before' | 'after' | 'steps'> {
    const count = this.#random.between(1, 3);
    const slots = Array.from({ length: count }, (_, at) =>
      this.#random.next() < 0.1 ? `$${at + 1}` : `$${at + 1}::${this.#one(TYPES).cast}`,
    );
    const text = `select ${slots.join(', ')}`;
    // Seldom one too many, or none.
    const given = (): number => (this.#random.next() < 0.03 ? this.#random.between(0, count + 1) : count);
    return {
      before: '',
      after: '',
      steps: this.#uses(text, () => Array.from({ length: given() }, () => anyParameter(this.#random))),
    };
  }

  #writes(number: number): Pick<Case, 'before' | 'after' | 'steps'> {
    const table = `item_${number}`;
    const types = Array.from({ length: this.#random.between(1, 3) }, () => this.#one(TYPES).cast);
    const columns = types.map((type, at) => `c${at} ${type}`).join(', ');
    const slots = types.map((_, at) => `$${at + 1}`).join(', ');
    const text = this.#one([
      `insert into ${table} values (${slots})`,
      `insert into ${table} values (${slots}) returning *`,
      `with made as (insert into ${table} values (${slots}) returning *) select count(*) from made`,
      `update ${table} set (${types.map((_, at) => `c${at}`).join(', ')}) = row(${slots}) returning 1 as one`,
      `delete from ${table} where row(${slots}) is not null`,
      `merge into ${table} using (select 1) s on false when not matched then insert values (${slots})`,
    ]);
    return {
      before: `create table ${table} (${columns}); insert into ${table} default values`,
      after: `drop table if exists ${table}`,
      steps: [
        ...this.#uses(text, () => types.map(() => anyParameter(this.#random))),
        { kind: 'query', text: `select * from ${table}`, values: [] },
      ],
    };
  }

  /** Whether somebody else makes a change: in a transaction such a change would be an error by rights, or a deadlock. */
  #elsewhere(way: Way): boolean {
    return way !== 'transaction' && this.#random.next() < 0.5;
  }

  #changesType(number: number, way: Way): Pick<Case, 'before' | 'after' | 'steps'> {
    const table = `item_${number}`;
    const [from, to, using, values] = this.#one(TYPE_CHANGES);
    const text = this.#one([
      `insert into ${table} values ($1)`,
      `insert into ${table} values ($1) returning a`,
      `select * from ${table} where a = $1`,
      `update ${table} set a = $1 where a is not null`,
      `select $1::text || a::text as both from ${table}`,
    ]);
    const elsewhere = this.#elsewhere(way);
    const use = (): Step[] => this.#uses(text, () => [this.#one(values)]);
    return {
      before: `create table ${table} (a ${from})`,
      after: `drop table if exists ${table}`,
      steps: [
        ...use(),
        { kind: 'change', text: `alter table ${table} alter a type ${to} using ${using}`, elsewhere },
        ...(elsewhere ? [{ kind: 'pause' } as const] : []),
        ...use(),
        { kind: 'query', text: `select a from ${table}`, values: [] },
      ],
    };
  }

  #changesTable(number: number, way: Way): Pick<Case, 'before' | 'after' | 'steps'> {
    const table = `item_${number}`;
    const text = this.#one([
      `select * from ${table} where a >= $1`,
      `select b, a from ${table} where a >= $1`,
      `insert into ${table} values ($1) returning *`,
      `select t from ${table} t where a >= $1`,
    ]);
    const elsewhere = this.#elsewhere(way);
    const use = (): Step[] => this.#uses(text, () => [this.#one([1, 2, '1', null, 'bad'])]);
    return {
      before: `create table ${table} (a int, b int); insert into ${table} values (1, 2), (3, 4)`,
      after: `do $$ begin
          if exists (select from pg_views where viewname = '${table}') then drop view ${table};
          else drop table if exists ${table}; end if; end $$`,
      steps: [
        ...use(),
        { kind: 'change', text: this.#one(TABLE_CHANGES).replaceAll('{}', table), elsewhere },
        ...(elsewhere ? [{ kind: 'pause' } as const] : []),
        ...use(),
      ],
    };
  }

  /** Other settings of the session between uses. */
  #sets(): Pick<Case, 'before' | 'after' | 'steps'> {
    const text = `select ${this.#columns(4)}, $1::text as sent`;
    const values = (): readonly unknown[] => [anyParameter(this.#random)];
    const steps: Step[] = this.#uses(text, values);
    for (let times = this.#random.between(1, 2); times > 0; times--) {
      steps.push({ kind: 'query', text: `set ${this.#one(SETTINGS)}`, values: [] }, ...this.#uses(text, values));
    }
    steps.push({ kind: 'query', text: "reset all; set timezone = 'UTC'", values: [] });
    return { before: '', after: '', steps };
  }

  /** Parsers of the caller's own between uses. */
  #parses(way: Way): Pick<Case, 'before' | 'after' | 'steps'> {
    const types = TYPES.filter(({ cast }) => /^(?:bool|bytea|int|text|json|float|date|timestamp|numeric)/.test(cast));
    const columns = Array.from({ length: 4 }, () => this.#value(this.#one(types)));
    const text = `select ${columns.join(', ')}, $1::int as sent`;
    const values = (): readonly unknown[] => [this.#random.between(0, 9)];
    const steps: Step[] = this.#uses(text, values);
    for (let times = this.#random.between(1, 3); times > 0; times--) {
      const of = way === 'client' && this.#random.next() < 0.5 ? 'client' : 'types';
      steps.push({ kind: 'parser', dataTypeId: this.#one(PARSED_TYPES), of }, ...this.#uses(text, values));
    }
    return { before: '', after: '', steps };
  }
}
