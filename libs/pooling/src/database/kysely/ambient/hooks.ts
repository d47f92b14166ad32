import { presentContext } from '../../../core/async-context.js';
import { inRequest } from '../../../core/request-context.js';

/** When a hook is called. */
export type HookKind = 'afterCommit' | 'afterRollback';

/** A function that is called when the outcome of a transaction is known. It may be async. */
export type Hook = () => unknown;

/** A hook that waits for the outcome. */
export interface WaitingHook {
  readonly kind: HookKind;
  /** Runs it in the context in which it was added, but outside the transaction. */
  run(around: object | undefined): unknown;
}

function waitingHook(kind: HookKind, hook: Hook): WaitingHook {
  const context = presentContext();
  return {
    kind,
    run: (around) => context.runInAsyncScope(() => inRequest({ transaction: around }, hook)),
  };
}

/** The hooks of one scope of a transaction, in the order in which they were added. */
export class Hooks {
  #own: WaitingHook[] = [];
  /** `afterRollback` hooks of savepoints that were rolled back: they run whatever the outcome of the transaction. */
  #decided: WaitingHook[] = [];

  add(kind: HookKind, hook: Hook): void {
    this.#own.push(waitingHook(kind, hook));
  }

  /** An inner savepoint was released: its hooks now wait for the outcome of this scope. */
  takeOver(inner: Hooks): void {
    this.#own.push(...inner.#own);
    this.#decided.push(...inner.#decided);
  }

  /** An inner savepoint was rolled back: its `afterCommit` hooks are dropped. */
  takeRolledBack(inner: Hooks): void {
    this.#decided.push(...inner.#decided, ...inner.#own.filter(({ kind }) => kind === 'afterRollback'));
  }

  /** The hooks to run for an outcome; `undefined`: it isn't known. */
  due(outcome: HookKind | undefined): readonly WaitingHook[] {
    const own = this.#own.filter(({ kind }) => kind === outcome);
    return this.#decided.length === 0 ? own : [...own, ...this.#decided];
  }
}
