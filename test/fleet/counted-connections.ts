import { Client } from 'pg';
import { delay } from '#pooling/testing/delay.js';

/** Somebody who counts the connections of the fleet on the server. */
export class CountedConnections implements AsyncDisposable {
  #client: Client | undefined = undefined;
  #counting: Promise<void> = Promise.resolve();
  /** Connections of the fleet now, and the most at one time. */
  now = 0;
  peak = 0;

  /** Counts on this server from now on, and no more on the one before. */
  async on(url: string): Promise<void> {
    await this.stop();
    const client = new Client({ connectionString: url, application_name: 'control' });
    // A server that is killed has no more connections to be counted.
    client.on('error', () => (this.#client = undefined));
    await client.connect();
    this.#client = client;
    this.resetPeak();
    this.#counting = this.#count(client);
  }

  /** Begins to count the most anew. */
  resetPeak(): void {
    this.peak = 0;
  }

  /** Counts no more. */
  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await this.#counting;
    await client?.end();
  }

  async #count(client: Client): Promise<void> {
    while (this.#client === client) {
      try {
        const { rows } = await client.query<{ count: number }>(
          "select count(*)::int as count from pg_stat_activity where application_name like 'fleet#%' and backend_type = 'client backend'",
        );
        this.now = rows[0]!.count;
        this.peak = Math.max(this.peak, this.now);
      } catch (error) {
        if (this.#client === client) throw error;
      }
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
