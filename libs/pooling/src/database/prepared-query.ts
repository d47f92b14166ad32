import { Result, types, type FieldDef, type QueryResult } from 'pg';
import type { ConnectionStatements, PreparedStatement, RowShape } from './connection-statements.js';
import { prepareValue, type ProtocolConnection } from './pg-internals.js';
import type { QueryOutcome } from './query-forms.js';
import type { PreparedText } from './statement-cache.js';

/** Errors of the server by which a prepared statement is of no use any more, before it has done anything. */
const INVALID_STATEMENT = '26000';
const DUPLICATE_STATEMENT = '42P05';
const CHANGED_RESULT = '0A000';

/** What a prepared query needs of its connection. */
export interface PreparedQueryHost {
  readonly statements: ConnectionStatements;
  /** Milliseconds on the pool's clock. */
  now(): number;
  typeParser(dataTypeId: number): (text: string) => unknown;
  /** Whether a statement that failed before it did anything may be sent again: none of its transaction is lost. */
  readonly outsideTransaction: boolean;
  /** Sends a query behind the one that has just failed. */
  resend(query: PreparedQuery): void;
}

/**
 * One use of a prepared statement, as `pg.Client` runs queries: the first one on a connection prepares and is told what
 * rows look like; later ones send no more than their parameters.
 */
export class PreparedQuery {
  readonly #host: PreparedQueryHost;
  readonly #prepared: PreparedText;
  readonly #values: readonly unknown[];
  readonly #outcome: QueryOutcome;
  readonly #result = new Result('object' as never, types as never) as unknown as QueryResult & {
    addCommandComplete(message: unknown): void;
  };
  #statement: PreparedStatement | undefined;
  #shape: RowShape | null | undefined;
  #failure: Error | undefined;
  #preparing = false;
  #startedAt = 0;
  #mayRetry = true;

  constructor(host: PreparedQueryHost, prepared: PreparedText, values: readonly unknown[], outcome: QueryOutcome) {
    this.#host = host;
    this.#prepared = prepared;
    this.#values = values;
    this.#outcome = outcome;
  }

  /** Called by `pg.Client` when it is this query's turn. An error that is given back was not sent. */
  submit(connection: ProtocolConnection): Error | null {
    let values: unknown[];
    try {
      values = this.#values.map((value) => prepareValue(value));
    } catch (error) {
      return error as Error;
    }
    const { statements } = this.#host;
    const known = statements.get(this.#prepared);
    statements.cache.found(known !== undefined);
    this.#preparing = known === undefined;
    this.#statement = known ?? { prepared: this.#prepared, uses: 0, shape: undefined };
    this.#startedAt = this.#host.now();
    this.#shape = this.#statement.shape;
    const { name, text } = this.#prepared;
    connection.stream.cork();
    try {
      if (known === undefined) {
        for (const closed of statements.add(this.#statement)) connection.close({ type: 'S', name: closed });
        connection.parse({ name, text });
      }
      connection.bind({ statement: name, values });
      if (this.#shape === undefined) connection.describe({ type: 'P', name: '' });
      connection.execute({});
      connection.sync();
    } finally {
      connection.stream.uncork();
    }
    return null;
  }

  handleRowDescription(message: { readonly fields: FieldDef[] }): void {
    const { fields } = message;
    const empty = Object.fromEntries(fields.map(({ name }) => [name, null]));
    const parsers = fields.map(({ dataTypeID }) => this.#host.typeParser(dataTypeID));
    this.#shape = { fields, parsers, empty };
  }

  handleDataRow({ fields: texts }: { readonly fields: readonly (string | null)[] }): void {
    if (this.#failure !== undefined) return;
    const { fields, parsers, empty } = this.#shape as RowShape;
    const row: Record<string, unknown> = { ...empty };
    try {
      for (let column = 0; column < texts.length; column++) {
        const text = texts[column] as string | null;
        if (text !== null) row[(fields[column] as FieldDef).name] = parsers[column]?.(text);
        else row[(fields[column] as FieldDef).name] = null;
      }
    } catch (error) {
      this.#failure = error as Error;
      return;
    }
    this.#result.rows.push(row);
  }

  handleCommandComplete(message: unknown): void {
    this.#result.addCommandComplete(message);
  }

  handleEmptyQuery(): void {
    // A text without a statement: the answer has no rows and no command.
  }

  handlePortalSuspended(): void {
    // Never: all rows are asked for at once.
  }

  handleCopyInResponse(connection: ProtocolConnection): void {
    connection.sendCopyFail('No source stream defined');
  }

  handleCopyData(): void {
    // What nobody asked for is dropped, as pg does.
  }

  handleError(error: Error): void {
    const invalid = this.#invalidated(error);
    if (invalid && this.#mayRetry && this.#host.outsideTransaction) {
      this.#mayRetry = false;
      this.#host.resend(this);
      return;
    }
    this.#outcome(error, undefined as never);
  }

  handleReadyForQuery(): void {
    if (this.#failure !== undefined) return this.#outcome(this.#failure, undefined as never);
    const shape = this.#shape ?? null;
    const statement = this.#statement as PreparedStatement;
    statement.shape = shape;
    this.#host.statements.cache.ran(this.#prepared, ++statement.uses, this.#host.now() - this.#startedAt);
    if (shape !== null) this.#result.fields = shape.fields;
    try {
      this.#outcome(undefined, this.#result);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Forgets what the error tells is gone; returns whether the statement has to be prepared anew. */
  #invalidated(error: Error): boolean {
    const { code, routine } = error as { code?: unknown; routine?: unknown };
    const { statements } = this.#host;
    if (code === CHANGED_RESULT && routine === 'RevalidateCachedQuery') {
      statements.remove(this.#prepared);
      statements.cache.invalidate(this.#prepared);
      return true;
    }
    if (code === INVALID_STATEMENT) {
      // Deallocated behind our back, and then hardly alone.
      statements.clear();
      return true;
    }
    if (code === DUPLICATE_STATEMENT) {
      statements.remove(this.#prepared);
      return true;
    }
    // Whether the server got as far as preparing it isn't known.
    if (this.#preparing) statements.remove(this.#prepared);
    return false;
  }
}
