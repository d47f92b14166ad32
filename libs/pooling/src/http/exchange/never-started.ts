import type { Dispatcher } from 'undici';

/**
 * The controller that a handler gets with the error of a request that ended before it was started. It isn't `aborted`:
 * undici's interceptors try such a request again.
 */
export const NEVER_STARTED: Dispatcher.DispatchController = {
  aborted: false,
  paused: false,
  reason: null,
  abort: () => {},
  pause: () => {},
  resume: () => {},
};
