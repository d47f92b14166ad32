import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { Injectable, type NestMiddleware } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

const tracer = trace.getTracer('shop');

/** Gives each request its span, as `@opentelemetry/instrumentation-http` does: what the library does for it is in there. */
@Injectable()
export class RequestSpans implements NestMiddleware {
  use(request: IncomingMessage & { route?: { path?: string } }, response: ServerResponse, next: () => void): void {
    const { method = 'GET' } = request;
    const parent = propagation.extract(context.active(), request.headers);
    const span = tracer.startSpan(
      method,
      { kind: SpanKind.SERVER, attributes: { 'http.request.method': method } },
      parent,
    );
    response.once('close', () => {
      const route = request.route?.path;
      if (route !== undefined) span.updateName(`${method} ${route}`).setAttribute('http.route', route);
      span.setAttribute('http.response.status_code', response.statusCode);
      if (response.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    context.with(trace.setSpan(parent, span), next);
  }
}
