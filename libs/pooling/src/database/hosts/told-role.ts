import type { ProtocolConnection } from '../pg-internals.js';
import type { ServerFacts } from './server-facts.js';

/**
 * The role of the server behind one connection. From PostgreSQL 14 on a server reports it without being asked: when a session
 * begins, and with the next answer after a change. An older one is asked. So is the server behind a pooler: a pooler reports
 * what its server was when it connected first, and a change goes to whichever client is answered next.
 */
export class ToldRole {
  #standby: boolean | undefined = undefined;
  #readOnlyByDefault = false;
  #reported = false;
  #pooled = false;
  #ownReadOnly = false;
  /** Called with each report; `standby`: of `in_hot_standby`, otherwise of `default_transaction_read_only`. */
  changed: ((standby: boolean) => void) | undefined = undefined;

  constructor(protocol: ProtocolConnection) {
    protocol.on(
      'parameterStatus',
      ({ parameterName, parameterValue }: { readonly parameterName: string; readonly parameterValue: string }) => {
        if (parameterName === 'in_hot_standby') {
          this.#reported = true;
          this.#standby = parameterValue === 'on';
          this.changed?.(true);
        } else if (parameterName === 'default_transaction_read_only' && !this.#ownReadOnly) {
          this.#readOnlyByDefault = parameterValue === 'on';
          this.changed?.(false);
        }
      },
    );
  }

  /** The role; `undefined`: the server doesn't report it and wasn't asked. */
  get facts(): ServerFacts | undefined {
    if (this.#standby === undefined) return undefined;
    return { standby: this.#standby, readOnly: this.#standby || this.#readOnlyByDefault };
  }

  /** Whether the server reports every change by itself. */
  get speaks(): boolean {
    return this.#reported && !this.#pooled;
  }

  /** The user's own settings make sessions read-only or not: from now on, reports of that say nothing about the server. */
  readOnlyIsOwn(): void {
    this.#ownReadOnly = true;
  }

  /** A pooler stands between. */
  behindPooler(): void {
    this.#pooled = true;
  }

  /** The server was asked; what it reports later counts more. */
  answered({ standby, readOnly }: ServerFacts): void {
    this.#standby = standby;
    this.#readOnlyByDefault = readOnly && !standby;
  }
}
