import type { ExchangePhase } from './exchange-host.js';

/** What is known when undici says that a request failed. */
export interface Facts {
  readonly phase: ExchangePhase;
  /** Whether something of the request may have reached the server. */
  readonly sent: boolean;
  /** Whether the server has said that it processed nothing of it. */
  readonly refused: boolean;
  /** Whether the connection works on. */
  readonly alive: boolean;
  /** Whether the connection failed, or ended where an answer was under way. */
  readonly broken: boolean;
  /** Whether the connection had served before. */
  readonly reused: boolean;
  /** Whether we gave the request up ourselves. */
  readonly aborted: boolean;
  /** Whether every byte of the announced body has come. */
  readonly whole: boolean;
  /** Whether the answer has no body by its method or status. */
  readonly bodyless: boolean;
  /** Whether another answer may take the place of this one: the caller has seen nothing of it, and the client is open. */
  readonly replaceable: boolean;
}

/**
 * `over`: the exchange has ended already. `next`: this answer was only read to be replaced. `given-up`: it ends with the
 * error. `complete`: the answer is all there. `replay`: it may be sent again at once, unseen. `failed`: it may be
 * retried as the policy says.
 */
export type Verdict = 'over' | 'next' | 'given-up' | 'complete' | 'replay' | 'failed';

/** What a failure means, judged by where the exchange stood and how its connection ended. */
export function verdict(facts: Facts): Verdict {
  const { phase, sent, refused, alive, broken, reused, aborted, whole, bodyless, replaceable } = facts;
  if (phase === 'done') return 'over';
  if (phase === 'discarding') return 'next';
  if (refused && replaceable && phase === 'sent') return 'replay';
  if (aborted) return 'given-up';
  // undici reports a peer that closed while the consumer was slow, though every byte had come.
  if (phase === 'reading' && whole && broken) return 'complete';
  // undici refuses a 204 or 304 that announces the length of what isn't there.
  if (phase === 'reading' && bodyless) return 'complete';
  const stale = !alive && (!sent || (reused && phase === 'sent'));
  if (stale && replaceable && (!sent || broken)) return 'replay';
  return 'failed';
}
