import { HttpException, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';

/** The answer of a route of the library. */
export interface RouteAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | object;
}

/**
 * Answers a route of the library instead of its handler. It is the last guard, so that the application's guards apply and its
 * interceptors, pipes and filters don't: nothing wraps a health answer, caches a readiness or turns metrics into JSON. The
 * request goes no further: the guard's promise never settles once it has answered.
 */
export abstract class AnsweringGuard implements CanActivate {
  constructor(private readonly adapter: HttpAdapterHost) {}

  /** The answer of a handler; `undefined` once it has sent it itself. An `HttpException` is an answer as well. */
  protected abstract answer(handler: string, context: ExecutionContext): Promise<RouteAnswer | undefined>;

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const answer = await this.answer(context.getHandler().name, context).catch(asAnswer);
    if (answer !== undefined) {
      const response: unknown = context.switchToHttp().getResponse();
      const { httpAdapter } = this.adapter;
      for (const [name, value] of Object.entries(answer.headers)) httpAdapter.setHeader(response, name, value);
      await httpAdapter.reply(response, answer.body, answer.status);
    }
    return new Promise(() => {});
  }
}

/** Answers to probes and scrapes must not be cached. */
export const NOT_STORED: Readonly<Record<string, string>> = { 'Cache-Control': 'no-cache, no-store, must-revalidate' };

function asAnswer(error: unknown): RouteAnswer {
  if (!(error instanceof HttpException)) throw error;
  return { status: error.getStatus(), headers: NOT_STORED, body: error.getResponse() };
}
