import { Client } from 'pg';

/**
 * A gate on the server: a statement with `passed` takes until the test opens it, and not for so many milliseconds.
 *
 * ```ts
 * await using gate = await Gate.closed(database.url);
 * const slow = pool.query(`select ${gate.passed}`);
 * await gate.waitedAt();
 * // what is true while it runs
 * await gate.open();
 * await slow;
 * ```
 */
export class Gate implements AsyncDisposable {
  static #gates = 0;
  /** Its number, for a statement that takes it as a parameter: `pg_advisory_xact_lock_shared($1)`. */
  readonly key: number;
  readonly #client: Client;
  #open = false;

  private constructor(client: Client, key: number) {
    this.#client = client;
    this.key = key;
  }

  /** A gate in that database that is closed; with the key of one that is open, that one is closed again. */
  static async closed(url: string, key = ++Gate.#gates): Promise<Gate> {
    const client = new Client({ connectionString: url, application_name: 'test support' });
    await client.connect();
    const gate = new Gate(client, key);
    await client.query('select pg_advisory_lock($1)', [key]);
    return gate;
  }

  /** An SQL expression that is evaluated when the gate is open, and then at once. */
  get passed(): string {
    return `pg_advisory_xact_lock_shared(${this.key})::text`;
  }

  /** Resolves when so many statements wait at the gate. */
  async waitedAt(count = 1): Promise<void> {
    const here = 'database = (select oid from pg_database where datname = current_database())';
    const text = `select 1 from pg_locks where locktype = 'advisory' and not granted and objid = $1 and ${here}`;
    await vi.waitFor(async () => expect((await this.#client.query(text, [this.key])).rowCount).toBe(count), 20_000);
  }

  /** Lets everything pass from now on. */
  async open(): Promise<void> {
    if (this.#open) return;
    this.#open = true;
    await this.#client.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.open();
  }
}
