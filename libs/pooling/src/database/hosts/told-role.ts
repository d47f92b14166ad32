import type { ProtocolConnection } from '../pg-internals.js';
import type { ServerFacts } from './server-facts.js';

/**
 * What a server tells of itself without being asked: when a session begins, and with the next answer after it has changed.
 * PostgreSQL 14 and later.
 */
export class ToldRole {
  #standby: boolean | undefined = undefined;
  #readOnlyByDefault = false;
  /** What an older server answered when it was asked. */
  #answered: ServerFacts | undefined = undefined;
  /** Hears of a change of the server's after the start of the session; `standby` is false where only the default for transactions has changed. */
  changed: ((standby: boolean) => void) | undefined = undefined;

  constructor(protocol: ProtocolConnection) {
    protocol.on(
      'parameterStatus',
      ({ parameterName, parameterValue }: { readonly parameterName: string; readonly parameterValue: string }) => {
        if (parameterName === 'in_hot_standby') {
          this.#standby = parameterValue === 'on';
          this.changed?.(true);
        } else if (parameterName === 'default_transaction_read_only') {
          this.#readOnlyByDefault = parameterValue === 'on';
          this.changed?.(false);
        }
      },
    );
  }

  /** What is known; `undefined`: the server tells nothing by itself and wasn't asked. */
  get facts(): ServerFacts | undefined {
    if (this.#standby === undefined) return this.#answered;
    return { standby: this.#standby, readOnly: this.#standby || this.#readOnlyByDefault };
  }

  /** Whether the server says by itself when it changes. */
  get speaks(): boolean {
    return this.#standby !== undefined;
  }

  /** A server that doesn't tell by itself has answered. */
  answered(facts: ServerFacts): void {
    this.#answered = facts;
  }
}
