/** What a server says of a statement that writes where nothing may be written. */
const READ_ONLY_TRANSACTION = '25006';

/** Whether a statement failed because nothing may be written. */
export function isRefusedWrite(error: Error): boolean {
  return (error as { code?: unknown }).code === READ_ONLY_TRANSACTION;
}

/** A connection that can be asked for its server's role. */
export interface AskedConnection {
  readonly role: ConnectionRole;
  run(text: string): Promise<{ readonly rows: readonly unknown[] }>;
}

/** What a pool knows of its server's role, or of the roles of its servers. */
export interface RoleOfServer<Connection extends AskedConnection = AskedConnection> {
  /** Whether writes are wanted and none are taken, by what the newest connections say. */
  readonly readOnly: boolean;
  /** Notes when a connection was opened. */
  opened(connection: Connection): void | Promise<void>;
  /** Whether a connection has to be asked before it is of use. */
  doubts(connection: Connection): boolean;
  /** Asks a connection; returns whether it may be used on. Rejects when it is lost. */
  ask(connection: Connection): Promise<boolean>;
}

/** What one connection has told of its server's role. */
export class ConnectionRole {
  openedAt = 0;
  /** After how many changes of the server's role it was opened, and asked last. */
  openedIn = 0;
  askedIn = 0;
  readOnly = false;
  /** It has answered a write with 25006, and wasn't asked why. */
  refusedWrite = false;

  /** A statement failed: after a refused write the server's role is asked for when the connection is given back. */
  failed(error: Error): void {
    if (isRefusedWrite(error)) this.refusedWrite = true;
  }
}
