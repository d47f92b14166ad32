/** A step of a dial whose failure isn't the network's or the server's: its error may look like any other. */
export type DialStep = 'password' | 'session' | 'onConnect';

const steps = new WeakMap<object, DialStep>();

/** Notes at which step of its dial an error came up, once, and gives it back. */
export function failedAt<Failure>(step: DialStep, error: Failure): Failure {
  if (typeof error === 'object' && error !== null && !steps.has(error)) steps.set(error, step);
  return error;
}

/** The step at which an error came up, where it was one of these. */
export function stepOf(error: unknown): DialStep | undefined {
  return typeof error === 'object' && error !== null ? steps.get(error) : undefined;
}
