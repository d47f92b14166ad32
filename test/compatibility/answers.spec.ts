import { isDeepStrictEqual } from 'node:util';
import pg, { type QueryArrayResult, type QueryResult } from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { createTestDatabase } from '#test/support/database.js';

/** Rules, triggers and procedures: what a statement does, and what it answers, isn't what it says. */
const SETUP = `
create table t (a int, b text);
create table log (a int);
create table ins_select (a int);
create rule r1 as on insert to ins_select do instead select 42 as answer, 'x'::text as y;
create table ins_also_select (a int);
create rule r2 as on insert to ins_also_select do also select 43 as answer union all select 44;
create table ins_nothing (a int);
create rule r3 as on insert to ins_nothing do instead nothing;
create table upd_also (a int); insert into upd_also values (1),(2);
create rule r4 as on update to upd_also do also insert into log values (new.a);
create table upd_select (a int); insert into upd_select values (1),(2);
create rule r5 as on update to upd_select do instead select * from upd_select;
create table del_select (a int); insert into del_select values (1),(2);
create rule r6 as on delete to del_select do also select * from del_select;
create view v as select a, b from t;
create function vf() returns trigger language plpgsql as $$begin insert into t values (new.a, new.b); return new; end$$;
create trigger vt instead of insert on v for each row execute function vf();
create view v2 as select a from t;
create rule r7 as on insert to v2 do instead (insert into t values (new.a); select 'two' as two);
create rule r8 as on update to v2 do instead nothing;
create rule r8d as on delete to v2 do instead (delete from t where a = old.a; notify x);
create procedure p(inout a int, out b text) language plpgsql as $$begin a := a + 1; b := 'b' || a; end$$;
create procedure p0() language plpgsql as $$begin perform 1; end$$;
create table many (a int); 
create rule rm as on insert to many do instead (select 1 as one; select 2 as two, 3 as three);
create table rows_of_rules (a int);
create rule rw as on insert to rows_of_rules do also (select a, 'a' as b from t order by a limit 3; insert into log values (1); select 2 as a);
create table cond (a int);
create rule rc as on insert to cond where new.a > 5 do instead select 'big' as big;
create table ret (a int);
create rule rr as on insert to ret do instead insert into t values (new.a, 'r') returning a;
create domain dm as int;
create function srf() returns setof t language sql as $$select * from t$$;
create function inv() returns void language sql as $$select 1$$;
`;

/** In the order in which they run. */
const STATEMENTS: readonly (readonly [text: string, values?: readonly unknown[]])[] = [
  ['insert into ins_select values (1)'],
  ['insert into ins_select values ($1)', [1]],
  ['insert into ins_also_select values ($1)', [1]],
  ['insert into ins_also_select values (1)'],
  ['insert into ins_nothing values ($1)', [1]],
  ['insert into ins_nothing values (1)'],
  ['update upd_also set a = a + $1', [1]],
  ['update upd_select set a = a + $1', [1]],
  ['update upd_select set a = a + 1'],
  ['delete from del_select where a = $1', [1]],
  ['delete from del_select'],
  ['insert into v values ($1, $2)', [1, 'a']],
  ['insert into v values ($1, $2) returning a', [1, 'a']],
  ['insert into v2 values ($1)', [3]],
  ['update v2 set a = $1', [3]],
  ['delete from v2 where a = $1', [3]],
  ['update v2 set a = 4'],
  ['call p($1, null)', [1]],
  ['call p(1, null)'],
  ['call p0()'],
  ['insert into many values ($1)', [1]],
  ['insert into many values (1)'],
  ['select 1 as one; insert into many values (2); select 5 as five'],
  ['insert into many values (1); insert into many values (2)'],
  ['insert into rows_of_rules values (1)'],
  ['insert into cond values ($1)', [1]],
  ['insert into cond values ($1)', [9]],
  ['insert into cond values (9)'],
  ['insert into ret values ($1) returning a', [1]],
  ['insert into ret values ($1)', [1]],
  ['prepare mine(int) as select $1 + 1 as x'],
  ['execute mine(5)'],
  ['execute mine(6)'],
  ['deallocate mine'],
  ['prepare mine2(int) as insert into ins_select values ($1)'],
  ['execute mine2(5)'],
  ['execute mine2(6)'],
  ['deallocate mine2'],
  ['prepare mine3(int) as insert into t values ($1) returning a, b'],
  ['execute mine3(5)'],
  ['execute mine3(6)'],
  ['create temp table ce as execute mine3(3)'],
  ['deallocate mine3'],
  ['prepare mine4 as select generate_series(1,3) x'],
  ['create temp table ce as execute mine4'],
  ['explain execute mine4'],
  ['drop table ce'],
  ['deallocate mine4'],
  ['create temp table cta as select generate_series(1, 3) as n'],
  ['drop table cta'],
  ['create temp table cta as values ($1::int), (2)', [1]],
  ['drop table cta'],
  ['create temp table if not exists cta as select 1 as n'],
  ['create temp table if not exists cta as select 1 as n'],
  ['drop table cta'],
  ['create temp table cta as select 1 as n with no data'],
  ['drop table cta'],
  ['select generate_series(1, 3) as n into temp si'],
  ['drop table si'],
  ['select generate_series(1, $1::int) as n into temp si', [4]],
  ['drop table si'],
  ['create materialized view mv as select generate_series(1,4) n'],
  ['refresh materialized view mv'],
  ['drop materialized view mv'],
  ['explain select 1'],
  ['explain (analyze, timing off, summary off, costs off) insert into t values (1)'],
  ['explain (format json) select $1::int', [1]],
  ['show statement_timeout'],
  ['show server_version'],
  [''],
  [' '],
  ['-- nothing'],
  [';'],
  [';;'],
  ['begin; select 1; commit'],
  ['select 1 as a; select 2 as b, 3 as c; insert into t values (1); select 4'],
  ['select 1;;select 2'],
  ['select 1; select 1/0; select 2'],
  ['select 1;'],
  ['insert into ins_also_select values (1); select 2'],
  ['set local work_mem = 1000'],
  ['set work_mem = 4096'],
  ['reset work_mem'],
  ['listen foo'],
  ['notify foo'],
  ['unlisten *'],
  ['do $$begin perform 1; end$$'],
  ['values (1, 2), (3, 4)'],
  ['table t'],
  ['with x as (insert into t values (1) returning *) select * from x'],
  ['with x as (select 1) insert into t select 1 returning a'],
  ['with x as (select 1 as one) delete from t using x where a = one'],
  ['with x as (insert into ins_nothing values (1)) select 1'],
  [
    'merge into t using (select $1::int as a) s on t.a = s.a when matched then update set b = $2 when not matched then insert values (s.a, $2)',
    [77, 'm'],
  ],
  ['select'],
  ['select from t'],
  ['select where false'],
  ['select inv()'],
  ['select * from srf()'],
  ['select srf()'],
  ['select a from t limit 0'],
  ['delete from t where false'],
  ['truncate log'],
  ['analyze t'],
  ['vacuum t'],
  ['lock table t'],
  ['begin'],
  ['rollback'],
  ['commit'],
  ['savepoint x'],
  ['copy (select 1) to stdout'],
  ['copy t from stdin'],
  ['discard plans'],
  ['comment on table t is null'],
  ['select 1 from t for update'],
  ['begin'],
  ['declare c cursor for select generate_series(1, 10) as n'],
  ['fetch 3 from c'],
  ['fetch 2 from c'],
  ['move 2 in c'],
  ['fetch all from c'],
  ['fetch 1 from c'],
  ['move backward all in c'],
  ['fetch backward 2 from c'],
  ['fetch 0 from c'],
  ['close c'],
  ['commit'],
  ['declare h cursor with hold for select 1'],
  ['fetch all in h'],
  ['close h'],
  ['select * from log'],
  ['security label on table t is null'],
  ["load 'plpgsql'"],
  ['explain (generic_plan) select 1'],
  ['select set_config($1, $2, false)', ['work_mem', '4096']],
  ['savepoint x'],
  ['update t set a = a returning *'],
  ['select 1 as "SELECT 5"'],
  ['start transaction'],
  ['insert into t values (5)'],
  ['savepoint s'],
  ['select 1/0'],
  ['select 1'],
  ['rollback to s'],
  ['release s'],
  ["prepare transaction 'x'"],
  ['rollback'],
  ['abort'],
  ['end'],
];

/** Only for a session that is the caller's own. */
const OF_A_SESSION =
  /^(?:begin|declare|fetch|move|close|savepoint|rollback|start|release|abort|end|commit|prepare|execute|deallocate|create temp|drop table|explain execute|select .* into temp)/;
/** Uses of a statement at once. */
const AT_ONCE = 3;
/** A text is prepared from its second use on, and described once. */
const ROUNDS = 4;

type Answer = QueryResult | QueryArrayResult;

/** A client or a pool. */
interface Askable {
  query(text: string, values?: unknown[]): Promise<Answer | Answer[]>;
}

function shown(answer: Answer | Answer[]): unknown {
  if (Array.isArray(answer)) return answer.map(shown);
  const { command, rowCount, rows, fields } = answer;
  // The types of the two databases' own tables have other ids.
  return {
    command,
    rowCount,
    rows,
    fields: fields.map(({ name, dataTypeID }) => [name, Math.min(dataTypeID, 16_384)]),
  };
}

function outcome(answer: Promise<Answer | Answer[]>): Promise<unknown> {
  return answer.then(shown, ({ code, message }: { code?: string; message: string }) => ({ code, message }));
}

const WAYS: Readonly<Record<string, DatabaseOptions>> = {
  prepared: {},
  pipelined: { pipelining: {} },
  unprepared: { preparedStatements: false },
};

describe.each(Object.keys(WAYS))('every kind of statement is answered as by pg itself, %s,', (way) => {
  it.each(['of the pool', 'of a client'])(
    '%s',
    async (whose) => {
      const ofClient = whose === 'of a client';
      await using one = await createTestDatabase();
      await using other = await createTestDatabase();
      for (const { query } of [one, other]) await query(SETUP);
      const plain = new pg.Client({ connectionString: one.url });
      await plain.connect();
      await using pool = new DatabasePool('answers', {
        url: other.url,
        size: 1,
        maxOverflow: 0,
        statementTimeoutMs: 0,
        lockTimeoutMs: 0,
        idleInTransactionTimeoutMs: 0,
        ...WAYS[way],
      });
      const client = ofClient ? await pool.connect() : undefined;
      const asked: Askable = client ?? pool;
      const differences: unknown[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        for (const [text, values] of STATEMENTS) {
          if (!ofClient && OF_A_SESSION.test(text)) continue;
          const uses = Array.from({ length: ofClient ? 1 : AT_ONCE }, () =>
            values === undefined ? [] : [[...values]],
          );
          const expected: unknown[] = [];
          for (const given of uses) expected.push(await outcome((plain as Askable).query(text, given)));
          const found = await Promise.all(uses.map((given) => outcome(asked.query(text, given))));
          if (!isDeepStrictEqual(found, expected)) differences.push({ round, text, found, expected });
        }
      }
      client?.release();
      await plain.end();
      expect(differences).toEqual([]);
      expect(pool.statistics()).toMatchObject({ opened: 1, closed: { broken: 0 } });
    },
    60_000,
  );
});
