/** Throws what foreign code has thrown, in a later turn: it is uncaught, as it would have been, and what called it goes on. */
export function rethrow(thrown: unknown): void {
  process.nextTick(() => {
    throw thrown;
  });
}
