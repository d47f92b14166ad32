import type { Connector, OpenContext } from '#pooling/core/connector.js';
import type { CloseReason } from '#pooling/core/statistics.js';

/** A connection that exists in memory only. */
export interface FakeConnection {
  readonly id: number;
  /** Whether its "socket" is open. */
  open: boolean;
  /** Whether a borrower left something behind that `reset` has to clean. */
  dirty: boolean;
  lost: (error?: Error) => void;
}

/** Something the connector was asked to do and hasn't done yet; the test decides how it ends. */
export interface PendingStep {
  readonly kind: 'open' | 'ping' | 'prepare' | 'reset' | 'close';
  readonly connection: FakeConnection | undefined;
  succeed(): void;
  fail(): void;
}

/**
 * A connector whose every step is ended by hand. What cannot be made to happen with a real server at will — a dial
 * that fails after a second one succeeded, a hook that rejects as the connection dies — is one call here.
 */
export class FakeConnector implements Connector<FakeConnection> {
  readonly pending: PendingStep[] = [];
  /** Connections whose socket exists: from the successful dial to the end of the close. */
  readonly sockets = new Set<FakeConnection>();
  dialled = 0;
  /** Whether every step succeeds by itself. */
  healthy = false;
  prepare?: (connection: FakeConnection) => void | Promise<void>;
  #nextId = 1;

  constructor(hooks: { readonly prepare: boolean } = { prepare: false }) {
    if (hooks.prepare) this.prepare = (connection) => this.#step('prepare', connection);
  }

  open(context: OpenContext): Promise<FakeConnection> {
    this.dialled++;
    return new Promise((resolve, reject) => {
      const step: PendingStep = {
        kind: 'open',
        connection: undefined,
        succeed: () => {
          this.#done(step);
          const connection = { id: this.#nextId++, open: true, dirty: false, lost: context.lost };
          this.sockets.add(connection);
          resolve(connection);
        },
        fail: () => {
          this.#done(step);
          reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
        },
      };
      context.signal.addEventListener('abort', () => {
        if (!this.#done(step)) return;
        reject(context.signal.reason as Error);
      });
      this.#add(step);
    });
  }

  usable(connection: FakeConnection): boolean {
    return connection.open && !connection.dirty;
  }

  ping(connection: FakeConnection): Promise<void> {
    return this.#step('ping', connection);
  }

  reset(connection: FakeConnection): CloseReason | undefined | Promise<CloseReason | undefined> {
    if (!connection.open) return 'broken';
    if (!connection.dirty) return undefined;
    return this.#step('reset', connection).then(() => {
      connection.dirty = false;
      return undefined;
    });
  }

  close(connection: FakeConnection, politely: boolean): Promise<void> {
    connection.open = false;
    if (!politely) {
      this.sockets.delete(connection);
      return Promise.resolve();
    }
    return this.#step('close', connection).finally(() => this.sockets.delete(connection));
  }

  #step(kind: PendingStep['kind'], connection: FakeConnection): Promise<void> {
    return new Promise((resolve, reject) => {
      const step: PendingStep = {
        kind,
        connection,
        succeed: () => {
          if (this.#done(step)) resolve();
        },
        fail: () => {
          if (this.#done(step)) reject(new Error(`${kind} failed`));
        },
      };
      this.#add(step);
    });
  }

  #add(step: PendingStep): void {
    this.pending.push(step);
    if (this.healthy) queueMicrotask(() => step.succeed());
  }

  #done(step: PendingStep): boolean {
    const index = this.pending.indexOf(step);
    if (index < 0) return false;
    this.pending.splice(index, 1);
    return true;
  }
}
