import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';

/**
 * Knows on whose behalf code runs: `OrdersController.create`. On only in applications that have a pool with leak
 * detection: Node follows every promise of the process for it, which costs more than such a name is worth otherwise.
 */
@Injectable()
export class HandlerLabels {
  #storage: AsyncLocalStorage<string> | undefined;

  /** Starts keeping names. */
  enable(): void {
    this.#storage ??= new AsyncLocalStorage();
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
