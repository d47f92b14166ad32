import type {
  CompiledQuery,
  DatabaseConnection,
  Driver,
  IdentifierNode,
  QueryCompiler,
  RawNode,
  TransactionSettings,
} from 'kysely';
import type { AcquireOptions } from '../../core/pool-options.js';
import { JoinedConnection } from './ambient/joined-connection.js';
import { ClosedConnection } from './closed-connection.js';
import { COMMAND_ID } from './command-query.js';
import type { ConnectionWay } from './connection-way.js';
import { KyselyConnection } from './kysely-connection.js';
import { connectionOn } from './read-only-connection.js';

/** What Kysely 0.29 hands to operations that can be aborted. */
type AbortableOptions = Pick<AcquireOptions, 'signal'>;

/** Kysely's driver over a pool: each connection is a lease. */
export class KyselyDriver implements Driver {
  readonly #way: ConnectionWay;

  constructor(way: ConnectionWay) {
    this.#way = way;
  }

  async init(): Promise<void> {
    // The pool connects when it is used.
  }

  async acquireConnection(options?: AbortableOptions): Promise<KyselyConnection> {
    return connectionOn(this.#way, await this.#way.leases.acquire({ ...options, follows: true }));
  }

  /** Sends nothing: that goes along with the first statement. */
  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    if (connection instanceof JoinedConnection) await connection.begin(settings);
    else own(connection).begin(settings);
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    if (connection instanceof ClosedConnection) throw connection.session.transactionOver();
    await (connection instanceof JoinedConnection ? connection.commit() : own(connection).commit());
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (connection instanceof ClosedConnection) return;
    await (connection instanceof JoinedConnection ? connection.rollback() : own(connection).rollback());
  }

  async savepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await runCommand(connection, savepointCommand('savepoint', name, compileQuery));
  }

  async rollbackToSavepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await runCommand(connection, savepointCommand('rollback to', name, compileQuery));
  }

  async releaseSavepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await runCommand(connection, savepointCommand('release', name, compileQuery));
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    own(connection).release();
  }

  async destroy(): Promise<void> {
    await this.#way.pool.end();
  }
}

function own(connection: DatabaseConnection): KyselyConnection {
  if (connection instanceof ClosedConnection) return connection.session;
  return connection as KyselyConnection;
}

/** Older versions of Kysely (0.28.0) ask the connection and not its provider: the scope keeps the order all the same. */
async function runCommand(connection: DatabaseConnection, command: CompiledQuery): Promise<void> {
  const scope = connection instanceof KyselyConnection ? connection.scope : undefined;
  await (scope === undefined ? connection.executeQuery(command) : scope.command(command));
}

function savepointCommand(verb: string, name: string, compileQuery: QueryCompiler['compileQuery']): CompiledQuery {
  const identifier: IdentifierNode = { kind: 'IdentifierNode', name };
  const node: RawNode = { kind: 'RawNode', sqlFragments: [`${verb} `, ''], parameters: [identifier] };
  return compileQuery(node, COMMAND_ID);
}
