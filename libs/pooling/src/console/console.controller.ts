import {
  Body,
  Controller,
  ForbiddenException,
  Get,
  HttpCode,
  NotFoundException,
  Param,
  Post,
  Query,
  Req,
  Res,
  UseGuards,
  VERSION_NEUTRAL,
  type Type,
} from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { sizeForLoad } from '../advice/sizing.js';
import type { ConsoleOptions } from './console-options.js';
import { ConsoleHostGuard } from './host-guard.js';
import { PoolConsoleService } from './pool-console.service.js';
import { isFromOwnPage } from './same-origin.js';

/** Where the console is when nothing else is said. */
export const DEFAULT_CONSOLE_PATH = 'pools';

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const STREAM_HEADERS: Readonly<Record<string, string>> = {
  ...HEADERS,
  'Content-Type': 'text/event-stream; charset=utf-8',
  // Not to be compressed or collected on the way: proxies and nginx.
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
};

/** What Express' and Fastify's requests and answers have in common, and where they hide Node's own. */
interface AnyRequest {
  readonly raw?: IncomingMessage;
  readonly originalUrl?: string;
  readonly url?: string;
}
interface AnyResponse {
  readonly raw?: ServerResponse;
  hijack?(): unknown;
}

function rawRequest(request: AnyRequest): IncomingMessage {
  return request.raw ?? (request as unknown as IncomingMessage);
}

/** Node's own response, of which the framework keeps its hands from now on. */
function takeResponse(response: AnyResponse): ServerResponse {
  response.hijack?.();
  return response.raw ?? (response as unknown as ServerResponse);
}

function send(response: AnyResponse, type: string, body: string | Buffer): void {
  takeResponse(response)
    .writeHead(200, { ...HEADERS, 'Content-Type': type })
    .end(body);
}

/** Where the page's files are, seen from the page: it must work behind any prefix, with a slash at its end or without. */
function baseOf(request: AnyRequest, path: string): string {
  const [address = ''] = (request.originalUrl ?? request.url ?? '').split('?');
  const last = path.split('/').findLast((segment) => segment !== '') ?? DEFAULT_CONSOLE_PATH;
  return address.endsWith('/') ? '.' : `./${encodeURIComponent(last)}`;
}

/** The console's controller: a class of its own for each call, because Nest keeps a controller's path on its class. */
export function createConsoleController(options: ConsoleOptions): Type<unknown> {
  const path = options.path ?? DEFAULT_CONSOLE_PATH;

  @Controller({ path, version: VERSION_NEUTRAL })
  @UseGuards(new ConsoleHostGuard(options.allowedHosts), ...(options.guards ?? []))
  class PoolConsoleController {
    constructor(private readonly service: PoolConsoleService) {}

    @Get()
    index(@Req() request: AnyRequest, @Res() response: AnyResponse): void {
      send(response, 'text/html; charset=utf-8', this.service.index(baseOf(request, path)));
    }

    @Get('events')
    events(@Res() response: AnyResponse): void {
      const stream = takeResponse(response);
      stream.writeHead(200, STREAM_HEADERS);
      this.service.watch(stream);
    }

    @Get('size')
    size(@Query() query: Record<string, string>): object {
      const load = {
        acquiresPerSecond: Number(query['acquiresPerSecond']),
        meanUseMs: Number(query['meanUseMs']),
        waitTargetMs: Number(query['waitTargetMs']),
      };
      try {
        return sizeForLoad(load);
      } catch (error) {
        return { problem: (error as Error).message };
      }
    }

    @Post('actions')
    @HttpCode(200)
    act(@Req() request: AnyRequest, @Body() body: unknown): { done: string } {
      if (!isFromOwnPage(rawRequest(request).headers, options.allowedHosts)) {
        throw new ForbiddenException(
          'only from the console’s own page; over plain HTTP its host has to be among allowedHosts',
        );
      }
      return { done: this.service.act(body) };
    }

    @Get(':file')
    file(@Param('file') name: string, @Res() response: AnyResponse): void {
      const file = this.service.file(name);
      if (file === undefined) throw new NotFoundException();
      send(response, file.type, file.body);
    }
  }
  return PoolConsoleController;
}
