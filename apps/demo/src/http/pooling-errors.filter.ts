import { Catch, HttpStatus, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { PoolingError } from 'nestjs-pooling';

interface Answer {
  readonly statusCode: HttpStatus;
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

const UNAVAILABLE: Answer = {
  statusCode: HttpStatus.SERVICE_UNAVAILABLE,
  message: 'The shop is too busy or its database is away: try again in a moment',
  retryAfterSeconds: 1,
};

const ANSWERS: Readonly<Record<string, Answer>> = {
  ERR_POOL_ACQUIRE_TIMEOUT: UNAVAILABLE,
  ERR_POOL_QUEUE_FULL: UNAVAILABLE,
  ERR_POOL_CONNECT_FAILED: UNAVAILABLE,
  ERR_POOL_CLOSED: UNAVAILABLE,
  ERR_POOL_SUSPENDED: UNAVAILABLE,
  ERR_POOL_QUERY_TIMEOUT: { statusCode: HttpStatus.GATEWAY_TIMEOUT, message: 'The database took too long' },
  ERR_POOL_COMMIT_UNKNOWN: {
    statusCode: HttpStatus.SERVICE_UNAVAILABLE,
    message: 'The connection broke while the order was being confirmed: look at your orders before you send it again',
  },
};

/** What a caller is told when the pools can't serve: a status that says whose trouble it is, and no inner detail. */
@Catch(PoolingError)
export class PoolingErrorsFilter implements ExceptionFilter<PoolingError> {
  readonly #logger = new Logger(PoolingErrorsFilter.name);

  constructor(private readonly host: HttpAdapterHost) {}

  catch(error: PoolingError, context: ArgumentsHost): void {
    this.#logger.warn(error.message);
    const { httpAdapter } = this.host;
    const response: unknown = context.switchToHttp().getResponse();
    const { statusCode, message, retryAfterSeconds } = ANSWERS[error.code] ?? {
      statusCode: HttpStatus.INTERNAL_SERVER_ERROR,
      message: 'Internal server error',
    };
    if (retryAfterSeconds !== undefined) httpAdapter.setHeader(response, 'Retry-After', String(retryAfterSeconds));
    httpAdapter.reply(response, { statusCode, code: error.code, message }, statusCode);
  }
}
