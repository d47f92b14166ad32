import {
  Controller,
  ForbiddenException,
  Get,
  Inject,
  Injectable,
  NotFoundException,
  Post,
  UseGuards,
  VERSION_NEUTRAL,
  type ExecutionContext,
  type Type,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { sizeForLoad } from '../advice/sizing.js';
import { AnsweringGuard, type RouteAnswer } from '../routes/answering-guard.js';
import { decorateRoutes } from '../routes/route-decorators.js';
import type { ConsoleOptions } from './console-options.js';
import { ConsoleHostGuard } from './host-guard.js';
import { PoolConsoleService } from './pool-console.service.js';
import { isFromOwnPage } from './same-origin.js';

/** The default path of the console. */
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
  // Proxies must neither compress nor buffer it.
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
};

/** What the requests and answers of Express and Fastify have in common, and where Node's own ones are. */
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

/** Node's own response; the framework leaves it alone from now on. */
function takeResponse(response: AnyResponse): ServerResponse {
  response.hijack?.();
  return response.raw ?? (response as unknown as ServerResponse);
}

function send(response: AnyResponse, type: string, body: string | Buffer): void {
  takeResponse(response)
    .writeHead(200, { ...HEADERS, 'Content-Type': type })
    .end(body);
}

/** The path of the page's files, relative to the page: it must work behind any prefix, with or without a slash at the end. */
function baseOf(request: AnyRequest, path: string): string {
  const [address = ''] = (request.originalUrl ?? request.url ?? '').split('?');
  const last = path.split('/').findLast((segment) => segment !== '') ?? DEFAULT_CONSOLE_PATH;
  return address.endsWith('/') ? '.' : `./${encodeURIComponent(last)}`;
}

/** The parsed parts of a request, under Express' and Fastify's names alike. */
interface ParsedRequest extends AnyRequest {
  readonly params: { readonly file?: string };
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Answers the console's routes. */
function consoleAnswer(path: string, { allowedHosts }: ConsoleOptions): Type<AnsweringGuard> {
  @Injectable()
  class ConsoleAnswer extends AnsweringGuard {
    constructor(
      @Inject(HttpAdapterHost) adapter: HttpAdapterHost,
      private readonly service: PoolConsoleService,
    ) {
      super(adapter);
    }

    protected override async answer(handler: string, context: ExecutionContext): Promise<RouteAnswer | undefined> {
      const http = context.switchToHttp();
      const request = http.getRequest<ParsedRequest>();
      const response = http.getResponse<AnyResponse>();
      switch (handler as keyof ConsoleRoutes) {
        case 'index':
          send(response, 'text/html; charset=utf-8', this.service.index(baseOf(request, path)));
          return undefined;
        case 'events':
          this.#watch(response);
          return undefined;
        case 'size':
          return json(sizeOf(request.query));
        case 'act':
          return json({ done: this.#act(request) });
        case 'file':
          this.#sendFile(request.params.file ?? '', response);
          return undefined;
      }
    }

    #watch(response: AnyResponse): void {
      const stream = takeResponse(response);
      stream.writeHead(200, STREAM_HEADERS);
      this.service.watch(stream);
    }

    #act(request: ParsedRequest): string {
      if (!isFromOwnPage(rawRequest(request).headers, allowedHosts)) {
        throw new ForbiddenException(
          'only from the console’s own page; over plain HTTP its host has to be among allowedHosts',
        );
      }
      return this.service.act(request.body);
    }

    #sendFile(name: string, response: AnyResponse): void {
      const file = this.service.file(name);
      if (file === undefined) throw new NotFoundException();
      send(response, file.type, file.body);
    }
  }
  return ConsoleAnswer;
}

function sizeOf(query: Readonly<Record<string, string>>): object {
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

function json(body: object): RouteAnswer {
  return { status: 200, headers: {}, body };
}

/** The console's routes, by the names of their handlers. */
interface ConsoleRoutes {
  index(): void;
  events(): void;
  size(): void;
  act(): void;
  file(): void;
}

/** The console's controller: a class of its own for each call, because Nest keeps a controller's path on its class. */
export function createConsoleController(options: ConsoleOptions): Type<unknown> {
  const path = options.path ?? DEFAULT_CONSOLE_PATH;
  const Answer = consoleAnswer(path, options);

  @Controller({ path, version: VERSION_NEUTRAL })
  @UseGuards(new ConsoleHostGuard(options.allowedHosts), ...(options.guards ?? []))
  class PoolConsoleController implements ConsoleRoutes {
    @Get()
    @UseGuards(Answer)
    index(): void {}

    @Get('events')
    @UseGuards(Answer)
    events(): void {}

    @Get('size')
    @UseGuards(Answer)
    size(): void {}

    @Post('actions')
    @UseGuards(Answer)
    act(): void {}

    @Get(':file')
    @UseGuards(Answer)
    file(): void {}
  }
  decorateRoutes(PoolConsoleController, options.decorators);
  return PoolConsoleController;
}
