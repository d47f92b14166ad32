import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { inRequest, keepRequests, keepRequestsIfCheap, keepsRequests } from '../core/request-context.js';
import { presentWrites, RequestWrites } from '../database/replicas/request-writes.js';

/**
 * Whether acquires get the name of their handler: `OrdersController.create`. Only in applications with a pool that shows who
 * holds its connections, and only where request contexts are kept: on a Node where they cost next to nothing, or because
 * something else needs them. Elsewhere the stacks of leak detection show the handler.
 */
@Injectable()
export class HandlerLabels {
  #wanted = false;
  #writes = false;

  /** Turns names on, where that is cheap, or `always`: where a tracer keeps contexts already, it costs little more. */
  enable(always = false): void {
    this.#wanted = true;
    if (always) keepRequests();
    else keepRequestsIfCheap();
  }

  /** Has each request remember what it has written, so that its reads see it on replicas. */
  keepWrites(): void {
    this.#writes = true;
  }

  /** Whether names are given. */
  get enabled(): boolean {
    return this.#wanted && keepsRequests();
  }

  /** Runs a function, and everything that it starts, under a name. */
  run<Result>(handler: string, fn: () => Result): Result {
    if (this.#writes) {
      const writes = new RequestWrites(presentWrites());
      return inRequest(this.enabled ? { handler, writes } : { writes }, fn);
    }
    return this.enabled ? inRequest({ handler }, fn) : fn();
  }
}

/** Runs every handler under its name: of controllers, resolvers, gateways and message handlers alike. */
@Injectable()
export class HandlerLabelInterceptor implements NestInterceptor {
  constructor(private readonly labels: HandlerLabels) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    // Nest binds the handler to the context in which `handle()` was called.
    return this.labels.run(`${context.getClass().name}.${context.getHandler().name}`, () => next.handle());
  }
}
