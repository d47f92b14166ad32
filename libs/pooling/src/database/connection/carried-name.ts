import type { ProtocolConnection } from '../pg-internals.js';

/**
 * The name that a connection was given for the others of its fleet to read. A borrower, or a hook, may take it away, by `SET`,
 * `RESET ALL` or `DISCARD ALL`; the server tells so with its answer.
 */
export class CarriedName {
  #name: string;
  #lost = false;

  constructor(protocol: ProtocolConnection, name: string) {
    this.#name = name;
    protocol.on(
      'parameterStatus',
      ({ parameterName, parameterValue }: { readonly parameterName: string; readonly parameterValue: string }) => {
        if (parameterName === 'application_name') this.#lost = parameterValue !== this.#name;
      },
    );
  }

  /** As it was given last. */
  get name(): string {
    return this.#name;
  }

  /** Whether the connection has another one by now. */
  get lost(): boolean {
    return this.#lost;
  }

  /** It was given another one. */
  renew(name: string): void {
    this.#name = name;
    this.#lost = false;
  }
}
