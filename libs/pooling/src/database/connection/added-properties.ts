import type { Client } from 'pg';

/** The properties that hooks, and not `pg`, have put on a connection's client: a borrower's client mirrors them. */
export class AddedProperties {
  readonly #client: Client;
  readonly #known: ReadonlySet<PropertyKey>;
  /** What was found last. */
  names: readonly PropertyKey[] = [];

  /** Call it after `pg` has set its own properties. */
  constructor(client: Client) {
    this.#client = client;
    this.#known = new Set(Reflect.ownKeys(client));
  }

  /** Looks for them, after a hook has run. */
  find(): void {
    this.names = Reflect.ownKeys(this.#client).filter((name) => !this.#known.has(name));
  }
}
