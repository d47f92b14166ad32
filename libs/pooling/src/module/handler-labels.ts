import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';

/**
 * From this version on, Node carries a context along with a promise; before, it calls a hook for each promise of the
 * process, and a query through Kysely took half as much CPU time again (`npm run bench -- observability`).
 */
const FIRST_CHEAP_NODE = 24;

/**
 * Knows on whose behalf code runs: `OrdersController.create`. On only in applications that have a pool which says so,
 * and on a Node where that costs next to nothing. Elsewhere the stacks of leak detection have to do.
 */
@Injectable()
export class HandlerLabels {
  #storage: AsyncLocalStorage<string> | undefined;

  /** Starts keeping names, where that is cheap. */
  enable(): void {
    if (Number.parseInt(process.versions.node, 10) < FIRST_CHEAP_NODE) return;
    this.#storage ??= new AsyncLocalStorage();
  }

  /** Whether names are kept. */
  get enabled(): boolean {
    return this.#storage !== undefined;
  }

  /** The name of what runs now. */
  readonly current = (): string | undefined => this.#storage?.getStore();

  /** Runs a function, and everything that it starts, under a name. */
  run<Result>(label: string, fn: () => Result): Result {
    return this.#storage === undefined ? fn() : this.#storage.run(label, fn);
  }
}

/** Gives everything that a handler does its name: of controllers, resolvers, gateways and message handlers alike. */
@Injectable()
export class HandlerLabelInterceptor implements NestInterceptor {
  constructor(private readonly labels: HandlerLabels) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    // Nest binds the handler to the context in which `handle()` was called.
    return this.labels.run(`${context.getClass().name}.${context.getHandler().name}`, () => next.handle());
  }
}
