import { traceAbove, type CallTrace } from '../../../core/call-trace.js';
import type { TransactionOrigin } from '../../../core/acquire-origin.js';
import { firstForeignFrame } from '../../../core/holders.js';

/** Frames of a captured stack: enough to get from here to the application. */
const TRACE_FRAMES = 12;

/** Where a transaction was begun, as far as that is known. */
export class BegunAt implements TransactionOrigin {
  readonly #method: string | undefined;
  readonly #trace: CallTrace | undefined;

  /** `method`: the decorated one; without it the stack of the caller says where. */
  constructor(method: string | undefined) {
    this.#method = method;
    this.#trace = method === undefined ? traceAbove(BegunAt, TRACE_FRAMES) : undefined;
  }

  /** `OrdersService.place`, or `OrdersService.place (orders.service.ts:42)`. */
  get begunBy(): string | undefined {
    return this.#method ?? firstForeignFrame(this.#trace?.stack);
  }
}
