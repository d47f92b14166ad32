import { Injectable } from '@nestjs/common';
import type { SpanSink } from '../core/span-sink.js';
import { spansFor } from '../tracing/spans.js';
import { resolveTracing, type Tracing } from '../tracing/tracing-options.js';

/** Makes the spans of an application's pools and clients. */
@Injectable()
export class ApplicationSpans {
  readonly #spans = spansFor();

  /** `undefined` where OpenTelemetry's API isn't installed. */
  get sink(): SpanSink | undefined {
    return this.#spans;
  }

  /** Sets the option of `forRoot`, also for pools that exist already. */
  configure(tracing: Tracing | undefined): void {
    this.#spans?.configure(resolveTracing(tracing));
  }
}
