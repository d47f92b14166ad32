import type {
  CompiledQuery,
  DatabaseConnection,
  Driver,
  IdentifierNode,
  PostgresCursorConstructor,
  QueryCompiler,
  QueryId,
  RawNode,
  TransactionSettings,
} from 'kysely';
import { PoolCommitUnknownError } from '../../core/errors.js';
import type { AcquireOptions } from '../../core/pool-options.js';
import { accessTo, type DatabaseAccess } from '../database-access.js';
import type { DatabasePool } from '../database-pool.js';
import { ClosedConnection, KyselyConnection } from './kysely-connection.js';
import { pg } from '../pg.js';
import { endsConnection } from '../server-errors.js';

/** By this Kysely 0.29 knows that a failed commit has already ended the transaction. */
const ABORTED_TRANSACTION = Symbol.for('kysely.AbortedTransactionError');

/** What Kysely 0.29 hands to operations that can be aborted. */
type AbortableOptions = Pick<AcquireOptions, 'signal'>;

/** Kysely's driver over a {@link DatabasePool}: each connection is a lease. */
export class KyselyDriver implements Driver {
  readonly #pool: DatabasePool;
  readonly #access: DatabaseAccess;
  readonly #cursor: PostgresCursorConstructor | undefined;

  constructor(pool: DatabasePool, cursor: PostgresCursorConstructor | undefined) {
    this.#pool = pool;
    this.#access = accessTo(pool);
    this.#cursor = cursor;
  }

  async init(): Promise<void> {
    // The pool connects when it is used.
  }

  async acquireConnection(options?: AbortableOptions): Promise<KyselyConnection> {
    return new KyselyConnection(this.#pool, this.#access, await this.#access.leases.acquire(options), this.#cursor);
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const session = own(connection);
    session.begun(settings);
    try {
      await connection.executeQuery(command(beginning(settings)));
    } catch (error) {
      session.tell('rolled back', error);
      // Kysely's controlled transactions before 0.28.18 don't.
      session.release();
      throw error;
    }
  }

  /**
   * A commit that fails ends the lease. When it was sent and not answered, nobody knows whether it happened:
   * `ERR_POOL_COMMIT_UNKNOWN`.
   */
  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    const session = own(connection);
    if (connection instanceof ClosedConnection) throw session.transactionOver();
    await session.ended();
    const mayHaveBeenSent = session.alive;
    session.command = '';
    try {
      await connection.executeQuery(command('commit'));
    } catch (error) {
      // Where it was answered, something that was called afterwards has thrown: Kysely's log.
      const answered = session.command !== '' || (error instanceof pg.DatabaseError && !endsConnection(error));
      const failure = answered || !mayHaveBeenSent ? error : this.#commitUnknown(error);
      session.tell(outcomeOf(failure, session.command), failure);
      session.release();
      throw failure;
    }
    if (session.command !== 'ROLLBACK') return session.tell('committed');
    const failure = Object.assign(
      new Error('the transaction was rolled back instead of committed: one of its statements had failed'),
      { code: '25P02', [ABORTED_TRANSACTION]: true },
    );
    session.tell('rolled back', failure);
    session.release();
    throw failure;
  }

  /** Always ends the transaction: where the statement can't, the end of the connection does. */
  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    const session = own(connection);
    if (session.released || connection instanceof ClosedConnection) return;
    await session.ended();
    if (!session.alive) return session.release();
    try {
      await connection.executeQuery(command('rollback'));
      session.tell('rolled back');
    } catch {
      session.release('transaction');
    }
  }

  async savepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await connection.executeQuery(savepointCommand('savepoint', name, compileQuery));
  }

  async rollbackToSavepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await connection.executeQuery(savepointCommand('rollback to', name, compileQuery));
  }

  async releaseSavepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await connection.executeQuery(savepointCommand('release', name, compileQuery));
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    own(connection).release();
  }

  async destroy(): Promise<void> {
    await this.#pool.end();
  }

  #commitUnknown(cause: unknown): PoolCommitUnknownError {
    const { name } = this.#pool;
    return new PoolCommitUnknownError(
      name,
      `${name}: the connection was lost after COMMIT was sent and before it was answered: ` +
        'the transaction may have been committed or not',
      { cause },
    );
  }
}

/** How a transaction has ended whose commit has failed; `answered`: the command that the server had answered. */
function outcomeOf(failure: unknown, answered: string): 'committed' | 'rolled back' | 'unknown' {
  if (failure instanceof PoolCommitUnknownError) return 'unknown';
  return answered === 'COMMIT' ? 'committed' : 'rolled back';
}

/** In Kysely's own words, for those who read its log. */
function beginning({ isolationLevel, accessMode }: TransactionSettings): string {
  if (isolationLevel === undefined && accessMode === undefined) return 'begin';
  const level = isolationLevel === undefined ? '' : ` isolation level ${isolationLevel}`;
  return `start transaction${level}${accessMode === undefined ? '' : ` ${accessMode}`}`;
}

function own(connection: DatabaseConnection): KyselyConnection {
  if (connection instanceof ClosedConnection) return connection.session;
  return connection as KyselyConnection;
}

/** No plugin sees these commands. */
const COMMAND_ID: QueryId = { queryId: 'command' };

/** A command as Kysely's log sees it. */
function command(text: string): CompiledQuery {
  const query: RawNode = { kind: 'RawNode', sqlFragments: [text], parameters: [] };
  return { sql: text, query, parameters: [], queryId: COMMAND_ID };
}

function savepointCommand(verb: string, name: string, compileQuery: QueryCompiler['compileQuery']): CompiledQuery {
  const identifier: IdentifierNode = { kind: 'IdentifierNode', name };
  const node: RawNode = { kind: 'RawNode', sqlFragments: [`${verb} `, ''], parameters: [identifier] };
  return compileQuery(node, COMMAND_ID);
}
