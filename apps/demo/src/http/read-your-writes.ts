import type { IncomingMessage, ServerResponse } from 'node:http';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Kysely } from 'kysely';
import { consistencyToken, InjectDb, PoolOptionsError, withConsistency } from 'nestjs-pooling';
import { from, lastValueFrom, type Observable } from 'rxjs';

/** Has each request read what the same browser has written before, also where another process answers: a cookie tells. */
@Injectable()
export class ReadYourWrites implements NestInterceptor {
  constructor(@InjectDb() private readonly db: Kysely<unknown>) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    const before = tokenIn(http.getRequest<IncomingMessage>());
    const answer = withConsistency(before, async () => {
      try {
        return (await lastValueFrom(next.handle())) as unknown;
      } finally {
        const token = consistencyToken(this.db);
        if (token !== undefined && token !== before) {
          const cookie = `written=${token}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax`;
          http.getResponse<ServerResponse>().appendHeader('Set-Cookie', cookie);
        }
      }
    });
    return from(answer);
  }
}

function tokenIn({ headers }: IncomingMessage): string | undefined {
  const [, token] = /(?:^|;\s*)written=([^;]+)/.exec(headers.cookie ?? '') ?? [];
  try {
    return withConsistency(token, () => token);
  } catch (error) {
    // Made up, or of another release.
    if (error instanceof PoolOptionsError) return undefined;
    throw error;
  }
}
