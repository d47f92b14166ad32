import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { inRequest, keepRequests, keepRequestsIfCheap, keepsRequests } from '../core/request-context.js';
import { presentWrites, RequestWrites } from '../database/replicas/request-writes.js';

/** Where Nest has the context of a GraphQL operation among the arguments of its resolvers: root, arguments, context, info. */
const OPERATION = 2;

/**
 * Whether acquires get the name of their handler: `OrdersController.create`. Only in applications with a pool that shows who
 * holds its connections, and only where request contexts are kept: on a Node where they cost next to nothing, or because
 * something else needs them. Elsewhere the stacks of leak detection show the handler.
 */
@Injectable()
export class HandlerLabels {
  #wanted = false;
  #writes = false;
  /** What the resolvers of an operation have written, by its context, and by the request around it where there is one. */
  readonly #operations = new WeakMap<object, WeakMap<object, RequestWrites>>();

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

  /**
   * Runs a function, and everything that it starts, under a name.
   *
   * @param operation what several handlers of one request have in common; left out: this one is a request of its own.
   */
  run<Result>(handler: string, fn: () => Result, operation?: object): Result {
    if (this.#writes) {
      const writes = operation === undefined ? new RequestWrites(presentWrites()) : this.#writesOf(operation);
      return inRequest(this.enabled ? { handler, writes } : { writes }, fn);
    }
    return this.enabled ? inRequest({ handler }, fn) : fn();
  }

  #writesOf(operation: object): RequestWrites {
    const around = presentWrites();
    let known = this.#operations.get(operation);
    if (known === undefined) this.#operations.set(operation, (known = new WeakMap()));
    let writes = known.get(around ?? operation);
    if (writes === undefined) known.set(around ?? operation, (writes = new RequestWrites(around)));
    return writes;
  }
}

/** The context of the GraphQL operation that a resolver belongs to: one for all of them. */
function operationOf(context: ExecutionContext): object | undefined {
  if (context.getType<string>() !== 'graphql') return undefined;
  const operation: unknown = context.getArgByIndex(OPERATION);
  return typeof operation === 'object' && operation !== null ? operation : undefined;
}

/** Runs every handler under its name: of controllers, resolvers, gateways and message handlers alike. */
@Injectable()
export class HandlerLabelInterceptor implements NestInterceptor {
  constructor(private readonly labels: HandlerLabels) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    // Nest binds the handler to the context in which `handle()` was called.
    const handler = `${context.getClass().name}.${context.getHandler().name}`;
    return this.labels.run(handler, () => next.handle(), operationOf(context));
  }
}
