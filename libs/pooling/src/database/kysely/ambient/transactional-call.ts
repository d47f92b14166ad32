import { systemClock } from '../../../core/clock.js';
import { PoolCommitUnknownError, PoolTransactionError } from '../../../core/errors.js';
import { runWithRetries, type RetryTransactionOptions } from '../retries.js';
import { AmbientTransaction, withinASecond } from './ambient-transaction.js';
import { BegunAt } from './begun-at.js';
import { CallDeadline } from './call-deadline.js';
import type { WaitingHook } from './hooks.js';
import { refuseMismatch } from './mismatch.js';
import { CallStatements, innermost, Membership, membershipIn } from './membership.js';
import type { Scope } from './scope.js';
import type { Beginning } from '../../query/opening.js';
import { settingsOf, type TransactionalOptions } from './transactional-options.js';
import type { TransactionalWay } from './ambient-access.js';

/** One call of a transactional function. */
export interface TransactionalCall<Result> {
  readonly way: TransactionalWay;
  readonly options: TransactionalOptions;
  /** The decorated method; left out: the caller's stack says where a transaction was begun. */
  readonly method?: string | undefined;
  readonly fn: () => Result | Promise<Result>;
}

/** Runs a function in the transaction that its propagation asks for. */
export async function runCall<Result>(call: TransactionalCall<Result>): Promise<Result> {
  const { way, options } = call;
  const present = membershipIn(way.database, way.joins);
  switch (options.propagation ?? 'required') {
    case 'requires-new':
      return await begin(call);
    case 'not-supported':
      return await (present === undefined ? call.fn() : new Membership(way, innermost(), undefined).run(call.fn));
    case 'required':
      return await (present === undefined ? begin(call) : join(call, present));
    case 'nested':
      return await (present === undefined ? begin(call) : nest(call, present));
    case 'supports':
      return await (present === undefined ? call.fn() : join(call, present));
    case 'mandatory':
      if (present === undefined) throw required(call);
      return await join(call, present);
    case 'never':
      if (present === undefined) return await call.fn();
      throw forbidden(call, runningScope(present));
  }
}

/** The scope of a member, unless it is over. */
function runningScope(membership: Membership): Scope {
  const scope = membership.scope as Scope;
  if (scope.over) throw scope.overError();
  return scope;
}

function required({ way: { name }, method }: TransactionalCall<unknown>): PoolTransactionError {
  return new PoolTransactionError(
    name,
    `${name}: ${method ?? 'the function'} needs a transaction of its caller (propagation: 'mandatory'), and there is none`,
    { code: 'ERR_POOL_TRANSACTION_REQUIRED' },
  );
}

function forbidden(
  { way: { name }, method }: TransactionalCall<unknown>,
  { transaction }: Scope,
): PoolTransactionError {
  const begun = transaction.begunAt.begunBy;
  return new PoolTransactionError(
    name,
    `${name}: ${method ?? 'the function'} must not run in a transaction (propagation: 'never'), and there is one` +
      (begun === undefined ? '' : `, begun by ${begun}`),
    { code: 'ERR_POOL_TRANSACTION_FORBIDDEN' },
  );
}

/** Runs it in the present transaction, whose outermost call commits or rolls back. */
async function join<Result>({ way, options, fn }: TransactionalCall<Result>, present: Membership): Promise<Result> {
  const scope = runningScope(present);
  refuseMismatch(scope.transaction, beginningOf(options));
  const deadline = deadlineOf(way, options);
  if (deadline === undefined) return await fn();
  const outer = innermost();
  const statements = new CallStatements(outer?.statements);
  const member = new Membership(way, outer, scope, statements);
  try {
    return await deadline.race(member.run(async () => await fn()));
  } catch (error) {
    if (deadline.signal.aborted) {
      member.scope = scope.closedFor(deadline.signal.reason as Error);
      await cancelOwn(scope, statements).catch(() => undefined);
    }
    throw error;
  } finally {
    deadline.clear();
  }
}

/** Runs it in a savepoint. */
async function nest<Result>(call: TransactionalCall<Result>, present: Membership): Promise<Result> {
  const { way, options } = call;
  const around = runningScope(present);
  refuseMismatch(around.transaction, beginningOf(options));
  const deadline = deadlineOf(way, options);
  if (deadline === undefined) return await runInSavepoint(call, await around.nest());
  const entering = around.nest();
  try {
    return await runInSavepoint(call, await deadline.race(entering), deadline);
  } catch (error) {
    // Its turn may come after the deadline.
    if (deadline.signal.aborted) entering.then((scope) => scope.undo()).catch(() => undefined);
    throw error;
  } finally {
    deadline.clear();
  }
}

async function runInSavepoint<Result>(
  { way, fn }: TransactionalCall<Result>,
  scope: Scope,
  deadline?: CallDeadline,
): Promise<Result> {
  const outer = innermost();
  const statements = deadline === undefined ? undefined : new CallStatements(outer?.statements);
  const work = new Membership(way, outer, scope, statements).run(async () => await fn());
  let result: Result;
  try {
    result = await (deadline === undefined ? work : deadline.race(work));
  } catch (error) {
    if (deadline?.signal.aborted === true) {
      scope.close(deadline.signal.reason as Error);
      await withinASecond(scope.transaction.session, async () => {
        await cancelOwn(scope, statements as CallStatements);
        await scope.undo();
      });
    } else await scope.undo();
    throw error;
  }
  await scope.release();
  return result;
}

/** Cancels what runs, unless another call of the same transaction may have sent it. */
async function cancelOwn({ transaction: { session } }: Scope, { unanswered }: CallStatements): Promise<void> {
  if (unanswered > 0 && session.pending <= unanswered) await session.cancelQuery();
}

/** Begins a transaction, with retries where they are wanted, and runs the hooks when the outcome is known. */
async function begin<Result>(call: TransactionalCall<Result>): Promise<Result> {
  const { way, options } = call;
  const outer = innermost();
  const deadline = deadlineOf(way, options);
  const begunAt = new BegunAt(call.method);
  const origin = way.origin(begunAt);
  let transaction: AmbientTransaction | undefined;
  const attempt = async (): Promise<Result> => {
    const beginning = beginningOf(options);
    const session = way.session(beginning, { signal: deadline?.signal, origin });
    transaction = new AmbientTransaction({ name: way.name, beginning, begunAt, session });
    return await runOnce(transaction, call, outer, deadline);
  };
  let result: Result;
  try {
    const retry = retryOf(options, deadline);
    result = await (retry === undefined ? attempt() : runWithRetries(attempt, retry));
  } catch (error) {
    // Nobody knows whether it was committed: neither kind of hook would be right.
    const unknown = error instanceof PoolCommitUnknownError;
    if (transaction !== undefined) {
      way.ended(unknown ? 'unknown' : 'rolled-back');
      await runHooks(way, transaction, transaction.root.hooks.due(unknown ? undefined : 'afterRollback'), outer);
    }
    throw error;
  } finally {
    deadline?.clear();
  }
  const committed = transaction as AmbientTransaction;
  way.ended('committed');
  await runHooks(way, committed, committed.root.hooks.due('afterCommit'), outer);
  return result;
}

async function runOnce<Result>(
  transaction: AmbientTransaction,
  { way, fn }: TransactionalCall<Result>,
  outer: Membership | undefined,
  deadline: CallDeadline | undefined,
): Promise<Result> {
  const member = new Membership(way, outer, transaction.root);
  const work = way.holding(() => member.run(async () => await fn()));
  let result: Result;
  try {
    result = await (deadline === undefined ? work : deadline.race(work));
  } catch (error) {
    if (deadline?.signal.aborted === true) await transaction.abort(deadline.signal.reason as Error);
    else await transaction.rollback();
    throw error;
  }
  await transaction.commit();
  return result;
}

/** Runs hooks one after the other, in the order in which they were added. A hook's error is reported and not thrown. */
async function runHooks(
  way: TransactionalWay,
  { begunAt }: AmbientTransaction,
  hooks: readonly WaitingHook[],
  outer: Membership | undefined,
): Promise<void> {
  for (const hook of hooks) {
    try {
      await hook.run(outer);
    } catch (error) {
      way.hookFailed(hook.kind, error, begunAt.begunBy);
    }
  }
}

function beginningOf({ isolationLevel, accessMode, deferrable, settings, retry }: TransactionalOptions): Beginning {
  const inRetry = typeof retry === 'object' ? retry : undefined;
  return {
    isolationLevel: isolationLevel ?? inRetry?.isolationLevel,
    accessMode: accessMode ?? inRetry?.accessMode,
    deferrable,
    settings: typeof settings === 'function' ? settingsOf(settings) : settings,
  };
}

function retryOf(
  { retry, accessMode }: TransactionalOptions,
  deadline: CallDeadline | undefined,
): RetryTransactionOptions | undefined {
  if (retry === undefined || retry === false) return undefined;
  const given = retry === true ? {} : retry;
  const own = { ...given, accessMode: accessMode ?? given.accessMode };
  if (deadline === undefined) return own;
  const signal = own.signal === undefined ? deadline.signal : AbortSignal.any([own.signal, deadline.signal]);
  return { ...own, signal };
}

function deadlineOf({ name }: TransactionalWay, { timeoutMs, retry }: TransactionalOptions): CallDeadline | undefined {
  if (timeoutMs === undefined) return undefined;
  const clock = typeof retry === 'object' ? retry.clock : undefined;
  return new CallDeadline(name, timeoutMs, clock ?? systemClock);
}
