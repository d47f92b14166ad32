import { presentContext } from '../../../core/async-context.js';
import { inRequest } from '../../../core/request-context.js';

/** What a hook is called after. */
export type HookKind = 'afterCommit' | 'afterRollback';

/** What is called when the outcome of a transaction is known. It may be async. */
export type Hook = () => unknown;

/** A hook that waits for its time. */
export interface WaitingHook {
  readonly kind: HookKind;
  /** Runs it in the context in which it was asked for, but outside the transaction. */
  run(around: object | undefined): unknown;
}

function waitingHook(kind: HookKind, hook: Hook): WaitingHook {
  const context = presentContext();
  return {
    kind,
    run: (around) => context.runInAsyncScope(() => inRequest({ transaction: around }, hook)),
  };
}

/** The hooks of one scope of a transaction, in the order in which they were asked for. */
export class Hooks {
  #own: WaitingHook[] = [];
  /** Of savepoints that were rolled back: these run whatever becomes of the whole. */
  #decided: WaitingHook[] = [];

  add(kind: HookKind, hook: Hook): void {
    this.#own.push(waitingHook(kind, hook));
  }

  /** A savepoint within has been released: what becomes of its hooks is decided with the whole. */
  takeOver(inner: Hooks): void {
    this.#own.push(...inner.#own);
    this.#decided.push(...inner.#decided);
  }

  /** A savepoint within was rolled back. */
  takeRolledBack(inner: Hooks): void {
    this.#decided.push(...inner.#decided, ...inner.#own.filter(({ kind }) => kind === 'afterRollback'));
  }

  /** What is to run now that the outcome is known; `undefined`: nobody knows it. */
  due(outcome: HookKind | undefined): readonly WaitingHook[] {
    const own = this.#own.filter(({ kind }) => kind === outcome);
    return this.#decided.length === 0 ? own : [...own, ...this.#decided];
  }
}
