import { func, optionProblems, refuseProblems, required, string } from '../../../core/validation.js';
import { inRequest } from '../../../core/request-context.js';
import type { Hook, HookKind } from './hooks.js';
import { runningScope } from './membership.js';

/** Which transaction a hook belongs to. */
export interface HookOptions {
  /** The name of the database whose transaction is meant. Left out: the transaction that was begun last. */
  readonly database?: string | undefined;
}

const RULES = { hook: required(func()), database: string() };

function add(kind: HookKind, hook: Hook, { database }: HookOptions): boolean {
  refuseProblems(kind, optionProblems(RULES, { hook: hook as unknown, database }));
  const scope = runningScope(database);
  if (scope === undefined) return false;
  if (scope.over) throw scope.overError();
  scope.hooks.add(kind, hook);
  return true;
}

/**
 * Calls `hook` when the running transaction is committed and its connection is back: for a mail, an event, a job. It isn't
 * called when the transaction, or the savepoint that it was asked for in, is rolled back, or when nobody knows
 * (`ERR_POOL_COMMIT_UNKNOWN`). Hooks are awaited one after the other, outside the transaction, before the outermost call
 * resolves; what one throws is logged and counted, and changes nothing. Outside a transaction it is called at once.
 *
 * ```ts
 * class MailedOrders {
 *   constructor(private readonly mail: { confirm(id: number): Promise<void> }) {}
 *
 *   @Transactional()
 *   async place(id: number): Promise<void> {
 *     afterCommit(() => this.mail.confirm(id));
 *   }
 * }
 * ```
 *
 * @throws PoolTransactionError `ERR_POOL_TRANSACTION_OVER` when the transaction is over already.
 */
export function afterCommit(hook: Hook, options: HookOptions = {}): void {
  if (!add('afterCommit', hook, options)) void callNow(hook);
}

/**
 * Calls `hook` when the running transaction, or the savepoint that it is asked for in, is rolled back: after the end of the
 * outermost. Outside a transaction it is never called. Otherwise like {@link afterCommit}.
 *
 * ```ts
 * await transactional(db, async () => {
 *   afterRollback(() => console.error(`account ${id} was not emptied`));
 *   await db.updateTable('accounts').set({ balance: 0 }).where('id', '=', id).execute();
 * });
 * ```
 */
export function afterRollback(hook: Hook, options: HookOptions = {}): void {
  add('afterRollback', hook, options);
}

async function callNow(hook: Hook): Promise<void> {
  try {
    await hook();
  } catch (error) {
    process.emitWarning(`a hook of afterCommit has failed: ${String(error)}`);
  }
}

/**
 * Runs `fn` outside of any transaction, and with it all that it starts: for work that is meant to outlive the request's
 * transaction, and would be refused with `ERR_POOL_TRANSACTION_OVER` otherwise.
 *
 * ```ts
 * await transactional(db, async () => {
 *   void withoutTransaction(() => db.insertInto('events').values({ id, tenant: 'a' }).execute()); // stays, whatever becomes of the rest
 * });
 * ```
 */
export function withoutTransaction<Result>(fn: () => Result): Result {
  return inRequest({ transaction: undefined }, fn);
}
