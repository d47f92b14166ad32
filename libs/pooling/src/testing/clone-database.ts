import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { string, optionProblems, refuseProblems, required } from '../core/validation.js';
import { withControl } from './postgres-control.js';

/** What PostgreSQL copies and drops may be large. */
const COPY_TIMEOUT_MS = 120_000;

/** PostgreSQL's longest name, in bytes. */
const NAME_BYTES = 63;

/** Hexadecimal digits of a clone's own. */
const OWN_DIGITS = 12;

const RULES = { template: required(string()) };

/** What a database is copied from. */
export interface CloneDatabaseOptions {
  /** The name of a database on the same server that nobody is connected to: PostgreSQL copies no other. */
  readonly template: string;
}

/** A copy of a database, for one test worker. */
export interface ClonedDatabase extends AsyncDisposable {
  /** Its address. */
  readonly url: string;
  /** Drops it, and ends the connections to it; a second call does nothing. */
  drop(): Promise<void>;
}

/**
 * Makes a database of one's own for a test worker, file or test: a copy of a template that was migrated once, in some 50 ms.
 * Workers may do so at the same time.
 *
 * While the process lives, a connection stands for its clones. Those of processes that were killed are dropped by whoever
 * clones the same template next.
 *
 * ```ts
 * let database: ClonedDatabase;
 * beforeAll(async () => {
 *   database = await cloneDatabase(process.env.DATABASE_URL!, { template: 'shop_template' });
 * });
 * afterAll(() => database.drop());
 * ```
 *
 * @param url of any database on the server. Its user must be allowed to create databases.
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`; the server's error: `3D000` when there is no such template, `55006` when
 * somebody is connected to it, `42501` when the user may not.
 */
export async function cloneDatabase(url: string, { template, ...rest }: CloneDatabaseOptions): Promise<ClonedDatabase> {
  refuseProblems('cloneDatabase', optionProblems(RULES, { template, ...rest }));
  const prefix = prefixOf(template);
  const name = `${prefix}${randomBytes(OWN_DIGITS / 2).toString('hex')}`;
  const server = besides(url, template);
  // It is there before its database is, so that nobody takes that for a leftover.
  const keeper = await keep(server, name);
  try {
    await withControl(
      server,
      async (client) => {
        await dropLeftovers(client, prefix);
        await client.query(`create database ${quoted(name)} template ${quoted(template)}`);
      },
      COPY_TIMEOUT_MS,
    );
  } catch (error) {
    await keeper.end();
    throw error;
  }
  let dropped: Promise<void> | undefined;
  const drop = (): Promise<void> => (dropped ??= dropClone(server, name).finally(() => keeper.end()));
  return { url: withDatabase(url, name), drop, [Symbol.asyncDispose]: drop };
}

/** A connection that says by its name that a clone is in use. It doesn't keep the process alive. */
async function keep(server: string, name: string): Promise<Client> {
  const keeper = new Client({ connectionString: server, application_name: name });
  // A server that is stopped takes it along.
  keeper.on('error', () => undefined);
  await keeper.connect();
  (keeper as unknown as { unref(): void }).unref();
  return keeper;
}

async function dropLeftovers(client: Client, prefix: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select clone.datname as name from pg_database as clone
      where starts_with(clone.datname, $1) and length(clone.datname) = length($1) + $2
        and substr(clone.datname, length($1) + 1) ~ '^[0-9a-f]+$'
        and not exists (select from pg_stat_activity as keeper where keeper.application_name = clone.datname)`,
    [prefix, OWN_DIGITS],
  );
  for (const { name } of rows) {
    // Another worker may do the same.
    await client.query(dropping(name)).catch(() => undefined);
  }
}

async function dropClone(server: string, name: string): Promise<void> {
  await withControl(server, (client) => client.query(dropping(name)), COPY_TIMEOUT_MS);
}

function dropping(name: string): string {
  return `drop database if exists ${quoted(name)} with (force)`;
}

/** What the names of a template's clones begin with. */
function prefixOf(template: string): string {
  let begin = template;
  while (Buffer.byteLength(`${begin}_clone_`) + OWN_DIGITS > NAME_BYTES) begin = begin.slice(0, -1);
  return `${begin}_clone_`;
}

/** The address of a database that isn't the template, which nobody may be connected to. */
function besides(url: string, template: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1)) === template ? withDatabase(url, 'postgres') : url;
}

function withDatabase(url: string, name: string): string {
  const address = new URL(url);
  address.pathname = `/${encodeURIComponent(name)}`;
  return address.href;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
