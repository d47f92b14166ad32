import type { ProtocolConnection } from '../pg-internals.js';
import type { ServerFacts } from './server-facts.js';

/**
 * The role that a server reports without being asked, from PostgreSQL 14 on: when a session begins, and with the next answer
 * after a change.
 */
export class ToldRole {
  #standby: boolean | undefined = undefined;
  #readOnlyByDefault = false;
  /** What an older server answered when it was asked. */
  #answered: ServerFacts | undefined = undefined;
  /** Called with each report; `standby`: of `in_hot_standby`, otherwise of `default_transaction_read_only`. */
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

  /** The role; `undefined`: the server doesn't report it and wasn't asked. */
  get facts(): ServerFacts | undefined {
    if (this.#standby === undefined) return this.#answered;
    return { standby: this.#standby, readOnly: this.#standby || this.#readOnlyByDefault };
  }

  /** Whether the server reports changes by itself. */
  get speaks(): boolean {
    return this.#standby !== undefined;
  }

  /** A server that doesn't report its role was asked. */
  answered(facts: ServerFacts): void {
    this.#answered = facts;
  }
}
