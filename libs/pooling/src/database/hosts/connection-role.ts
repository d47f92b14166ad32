/** SQLSTATE of a write in a read-only transaction. */
const READ_ONLY_TRANSACTION = '25006';

/** Whether a statement failed because the server, or its transaction, is read-only. */
export function isRefusedWrite(error: Error): boolean {
  return (error as { code?: unknown }).code === READ_ONLY_TRANSACTION;
}

/** SQLSTATEs with which a pooler says that it has no server: lost connections, shutdown, its own system. */
const WITHOUT_SERVER = /^(?:08|57P|58)/;

/** Whether a pooler may say that its server is gone. A function of the server's can raise the same. */
function mayLackServer(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && WITHOUT_SERVER.test(code);
}

/** A connection that can be asked for its server's role. */
export interface AskedConnection {
  readonly role: ConnectionRole;
  run(text: string): Promise<{ readonly rows: readonly unknown[] }>;
}

/** What a pool knows of its server's role, or of the roles of its servers. */
export interface RoleOfServer<Connection extends AskedConnection = AskedConnection> {
  /** Whether the pool wants to write and the newest connections are read-only. */
  readonly readOnly: boolean;
  /** Notes when a connection was opened. */
  opened(connection: Connection): void | Promise<void>;
  /** Whether a connection must be asked for its role before it is used. */
  doubts(connection: Connection): boolean;
  /** Asks a connection for its role; returns whether it may be used further. Rejects when it is lost. */
  ask(connection: Connection): Promise<boolean>;
}

/** What one connection has told of its server's role. */
export class ConnectionRole {
  openedAt = 0;
  /** How many changes of the server's role were known when it was opened, and when it was last asked. */
  openedIn = 0;
  askedIn = 0;
  /** When it was last asked. */
  askedAt = 0;
  readOnly = false;
  /** Its server is asked for its role when the connection is given back: it has answered a write with 25006, for example. */
  toBeAsked = false;

  /** Whether a pooler stands before one of several hosts: it may go on without its server. */
  pooled = false;

  /** A statement failed. */
  failed(error: Error): void {
    if (isRefusedWrite(error) || (this.pooled && mayLackServer(error))) this.toBeAsked = true;
  }
}
