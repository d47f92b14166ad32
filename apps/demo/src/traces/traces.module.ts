import { Module, type DynamicModule, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { RequestSpans } from './request-spans.js';
import { TraceStore } from './trace-store.js';
import { TracesController } from './traces.controller.js';

/** A span for each request of the shop's, and a page that shows the traces. */
@Module({})
export class TracesModule implements NestModule {
  static forRoot(store: TraceStore): DynamicModule {
    return {
      module: TracesModule,
      controllers: [TracesController],
      providers: [{ provide: TraceStore, useValue: store }],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestSpans).exclude('traces', 'traces/{*path}', 'pools', 'pools/{*path}').forRoutes('{*path}');
  }
}
