import fc from 'fast-check';
import { sql } from 'kysely';
import { afterCommit, afterRollback } from '#pooling/database/kysely/ambient/outcome-hooks.js';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import type { Laboratory } from './laboratory.js';

/** One call, and what it does, in order. */
export interface Call {
  readonly mode: 'required' | 'requires-new' | 'nested' | 'kysely' | 'not-supported';
  readonly steps: readonly Step[];
  /** Whether it throws at its end. */
  readonly fails: boolean;
  /** Whether its caller goes on when it has thrown. */
  readonly caught: boolean;
}

/** `write`: a row; `hooks`: one of each kind; `error`: a statement that fails; the rest are calls. */
export type Step = 'write' | 'hooks' | 'error' | Call;

const arbitraries = fc.letrec<{ call: Call; step: Step }>((tie) => ({
  call: fc.record({
    mode: fc.constantFrom('required', 'requires-new', 'nested', 'kysely', 'not-supported'),
    steps: fc.array(tie('step'), { maxLength: 4 }),
    fails: fc.boolean(),
    caught: fc.boolean(),
  }),
  step: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { arbitrary: fc.constant('write' as const), weight: 4 },
    { arbitrary: fc.constant('hooks' as const), weight: 3 },
    { arbitrary: fc.constant('error' as const), weight: 1 },
    { arbitrary: tie('call'), weight: 4 },
  ),
}));

/** Random calls in each other. */
export const calls: fc.Arbitrary<Call> = arbitraries.call;

/** The same, of which a statement never fails: which others it would take along depends on their order. */
export const callsAtOnce: fc.Arbitrary<Call> = calls.map(withoutErrors);

function withoutErrors(call: Call): Call {
  const steps = call.steps.map((step) =>
    step === 'error' ? 'write' : typeof step === 'string' ? step : withoutErrors(step),
  );
  return { ...call, steps };
}

class Thrown extends Error {}

/** What has become of everything: rows that stay, hooks that ran. */
export interface Outcome {
  readonly rows: string[];
  readonly hooks: string[];
}

/** A transaction or a savepoint of the model. */
class Scope {
  rows: string[] = [];
  commit: string[] = [];
  rollback: string[] = [];
  /** Hooks of savepoints that were rolled back. */
  decided: string[] = [];
  /** Whether a statement has failed, so that the server refuses all that follows. */
  aborted: boolean;
  /** Whether the server has heard of it. */
  sent = false;

  constructor(readonly around?: Scope) {
    this.aborted = around?.aborted ?? false;
  }

  send(): void {
    this.sent = true;
    this.around?.send();
  }
}

/** The outermost call begins what the others find. */
function ambient(call: Call): Call {
  return call.mode === 'kysely' ? { ...call, mode: 'nested' } : call;
}

/** What ought to become of it, one step after the other or all steps of a call at once. */
export function modelOf(outermost: Call, atOnce = false): Outcome {
  const rows: string[] = [];
  const hooks: string[] = [];

  function statement(scope: Scope | undefined, fails: boolean): void {
    scope?.send();
    if (scope?.aborted === true) throw new Thrown();
    if (!fails) return;
    if (scope !== undefined) scope.aborted = true;
    throw new Thrown();
  }

  function body({ steps, fails }: Call, scope: Scope | undefined, path: string): void {
    let failed = fails;
    for (const [at, step] of steps.entries()) {
      try {
        one(step, scope, `${path}.${at}`);
      } catch (error) {
        if (!atOnce || !(error instanceof Thrown)) throw error;
        failed = true;
      }
    }
    if (failed) throw new Thrown();
  }

  function one(step: Step, scope: Scope | undefined, name: string): void {
    if (step === 'write') {
      statement(scope, false);
      (scope?.rows ?? rows).push(name);
    } else if (step === 'error') statement(scope, true);
    else if (step === 'hooks') {
      if (scope === undefined) hooks.push(`committed ${name}`);
      else {
        scope.commit.push(`committed ${name}`);
        scope.rollback.push(`rolled back ${name}`);
      }
    } else {
      try {
        run(step, scope, name);
      } catch (error) {
        if (!(error instanceof Thrown) || !step.caught) throw error;
      }
    }
  }

  function begin(each: Call, path: string): void {
    const scope = new Scope();
    let failed = false;
    try {
      body(each, scope, path);
    } catch (error) {
      if (!(error instanceof Thrown)) throw error;
      failed = true;
    }
    failed ||= scope.aborted;
    if (!failed) rows.push(...scope.rows);
    hooks.push(...(failed ? scope.rollback : scope.commit), ...scope.decided);
    if (failed) throw new Thrown();
  }

  function nest(each: Call, around: Scope, path: string): void {
    const scope = new Scope(around);
    let failed = false;
    try {
      body(each, scope, path);
    } catch (error) {
      if (!(error instanceof Thrown)) throw error;
      failed = true;
    }
    // Where nothing was sent, nothing has failed.
    failed ||= scope.aborted && scope.sent;
    around.decided.push(...scope.decided);
    if (failed) {
      around.decided.push(...scope.rollback);
      throw new Thrown();
    }
    around.rows.push(...scope.rows);
    around.commit.push(...scope.commit);
    around.rollback.push(...scope.rollback);
  }

  function run(each: Call, scope: Scope | undefined, path: string): void {
    if (each.mode === 'not-supported') return body(each, undefined, path);
    // One of Kysely's own with none around is not what others belong to.
    if (each.mode === 'kysely' && scope === undefined) return body(each, undefined, path);
    if (each.mode === 'requires-new' || scope === undefined) return begin(each, path);
    if (each.mode === 'required') return body(each, scope, path);
    nest(each, scope, path);
  }

  try {
    run(ambient(outermost), undefined, '0');
  } catch (error) {
    if (!(error instanceof Thrown)) throw error;
  }
  return { rows: rows.toSorted(), hooks: hooks.toSorted() };
}

/** What becomes of it. */
export async function outcomeOf(outermost: Call, laboratory: Laboratory, atOnce = false): Promise<Outcome> {
  const { db } = laboratory;
  const hooks: string[] = [];
  await laboratory.pool.query('delete from entry');

  async function body({ steps, fails }: Call, path: string): Promise<void> {
    const names = steps.map((step, at) => ({ step, name: `${path}.${at}` }));
    if (atOnce) {
      const settled = await Promise.allSettled(names.map(({ step, name }) => one(step, name)));
      const failed = settled.find(({ status }) => status === 'rejected');
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    } else for (const { step, name } of names) await one(step, name);
    if (fails) throw new Thrown();
  }

  async function one(step: Step, name: string): Promise<void> {
    if (step === 'write') await laboratory.write(name);
    else if (step === 'error') await sql`select 1 / 0`.execute(db);
    else if (step === 'hooks') {
      afterCommit(() => void hooks.push(`committed ${name}`));
      afterRollback(() => void hooks.push(`rolled back ${name}`));
    } else {
      await run(step, name).catch((error: unknown) => {
        if (!step.caught) throw error;
      });
    }
  }

  async function run(each: Call, path: string): Promise<void> {
    if (each.mode === 'kysely') await db.transaction().execute(() => body(each, path));
    else await transactional(db, { propagation: each.mode }, () => body(each, path));
  }

  await run(ambient(outermost), '0').catch((error: unknown) => {
    if (!(error instanceof Thrown) && atOnce) throw error;
  });
  const { rows } = await laboratory.pool.query<{ name: string }>('select name from entry');
  return { rows: rows.map(({ name }) => name).toSorted(), hooks: hooks.toSorted() };
}
