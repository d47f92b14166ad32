import { Controller, Get, Header, Inject, UseGuards } from '@nestjs/common';
import { ThisMachineGuard } from '../console/this-machine.guard.js';
import { PAGE } from './page.js';
import { TraceStore, type ShownTrace } from './trace-store.js';

/** The newest traces, for a person and for a program. */
@Controller('traces')
@UseGuards(ThisMachineGuard)
export class TracesController {
  constructor(@Inject(TraceStore) private readonly store: TraceStore) {}

  @Get()
  @Header('content-type', 'text/html; charset=utf-8')
  page(): string {
    return PAGE;
  }

  @Get('newest')
  newest(): ShownTrace[] {
    return this.store.traces();
  }
}
