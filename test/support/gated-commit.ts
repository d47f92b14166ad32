import type { Generated, Kysely } from 'kysely';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import type { Gate } from './gate.js';

/** What {@link GATED_COMMIT} makes. */
export interface GatedSchema {
  item: { id: Generated<number>; name: string; gate: string | null };
}

/**
 * A table whose `COMMIT` takes until the gates of the rows that were added are open, and that is refused at `COMMIT` with 23514
 * where one of them is called so.
 */
export const GATED_COMMIT: readonly string[] = [
  'create table item (id serial primary key, name text not null, gate text)',
  `create function pass_gate() returns trigger language plpgsql as $$
   begin
     if new.gate is not null then execute 'select ' || new.gate; end if;
     if new.name = 'refused' then raise exception 'refused at COMMIT' using errcode = '23514'; end if;
     return null;
   end $$`,
  `create constraint trigger at_commit after insert on item deferrable initially deferred
   for each row execute function pass_gate()`,
];

/** Adds a row; with a gate, the `COMMIT` of its transaction waits there. */
export function add(db: Kysely<GatedSchema>, name: string, gate?: Gate): Promise<unknown> {
  return db
    .insertInto('item')
    .values({ name, gate: gate?.passed ?? null })
    .execute();
}

/** Runs a transaction, behind which somebody waits for the only connection while its `COMMIT` is sent. */
export function transactionAhead<Result>(
  { pool, db }: { readonly pool: DatabasePool; readonly db: Kysely<GatedSchema> },
  statements: (transaction: Kysely<GatedSchema>) => Promise<unknown>,
  next: () => Promise<Result>,
): { readonly first: Promise<void>; readonly second: () => Promise<Result> } {
  let second!: Promise<Result>;
  const first = db.transaction().execute(async (transaction) => {
    await statements(transaction);
    second = next();
    second.catch(() => undefined);
    await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
  });
  first.catch(() => undefined);
  return { first, second: () => second };
}

/** The same, whose `COMMIT` waits at a gate by now. */
export async function commitHeld<Result>(
  made: { readonly pool: DatabasePool; readonly db: Kysely<GatedSchema> },
  gate: Gate,
  next: () => Promise<Result>,
): Promise<{ readonly first: Promise<void>; readonly second: Promise<Result> }> {
  const { first, second } = transactionAhead(made, (transaction) => add(transaction, 'first', gate), next);
  await gate.waitedAt();
  return { first, second: second() };
}
