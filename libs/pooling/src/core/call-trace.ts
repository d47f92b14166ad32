/** The stack of a call, as an object: V8 formats it only when somebody reads it. */
export interface CallTrace {
  readonly stack?: string;
}

/** The stack above a function that is running now, as long as `frames` at most, whatever limit is set for errors. */
export function traceAbove(
  running: NonNullable<Parameters<typeof Error.captureStackTrace>[1]>,
  frames: number,
): CallTrace {
  const trace: CallTrace = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = frames;
  Error.captureStackTrace(trace, running);
  Error.stackTraceLimit = limit;
  return trace;
}
