import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { inRequest, keepRequests, keepRequestsIfCheap, keepsRequests } from '../core/request-context.js';

/**
 * Whether handlers give what they do their names: `OrdersController.create`. On only in applications that have a pool
 * which says on whose behalf its connections are held, and where contexts are kept: on a Node where that costs next to
 * nothing, or for the sake of something else. Elsewhere the stacks of leak detection have to do.
 */
@Injectable()
export class HandlerLabels {
  #wanted = false;

  /** Starts giving names, where that is cheap, or `always`: where a tracer keeps contexts already, it costs little more. */
  enable(always = false): void {
    this.#wanted = true;
    if (always) keepRequests();
    else keepRequestsIfCheap();
  }

  /** Whether names are given. */
  get enabled(): boolean {
    return this.#wanted && keepsRequests();
  }

  /** Runs a function, and everything that it starts, under a name. */
  run<Result>(handler: string, fn: () => Result): Result {
    return this.enabled ? inRequest({ handler }, fn) : fn();
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
