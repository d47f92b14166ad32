import { ForbiddenException, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { isAllowedHost } from './same-origin.js';

/** What Express' and Fastify's answers have in common. */
interface AnswerHeaders {
  removeHeader(name: string): unknown;
}

/**
 * Serves the console only under its allowed hosts and only to its own page: an application that lets every site read its answers
 * (CORS) doesn't mean these.
 */
export class ConsoleHostGuard implements CanActivate {
  readonly #allowedHosts: readonly string[] | undefined;

  constructor(allowedHosts: readonly string[] | undefined) {
    this.#allowedHosts = allowedHosts;
  }

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const { headers } = http.getRequest<{ headers: { host?: string } }>();
    if (!isAllowedHost(headers.host, this.#allowedHosts)) {
      throw new ForbiddenException('this host is not among the allowedHosts of the console');
    }
    http.getResponse<AnswerHeaders>().removeHeader('access-control-allow-origin');
    return true;
  }
}
