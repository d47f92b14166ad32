import type { Client } from 'pg';

/** Knows which properties of a connection's client `pg` hasn't made: hooks have, for those who borrow it. */
export class AddedProperties {
  readonly #client: Client;
  readonly #known: ReadonlySet<PropertyKey>;
  /** What was found last. */
  names: readonly PropertyKey[] = [];

  /** To be made when `pg` has made its own. */
  constructor(client: Client) {
    this.#client = client;
    this.#known = new Set(Reflect.ownKeys(client));
  }

  /** Looks for them, after a hook has run. */
  find(): void {
    this.names = Reflect.ownKeys(this.#client).filter((name) => !this.#known.has(name));
  }
}
