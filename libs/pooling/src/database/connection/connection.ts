import type { Client, ClientConfig, PoolClient, QueryResult } from 'pg';
import type { Clock } from '../../core/clock.js';
import type { HolderActivity } from '../../core/holders.js';
import { rethrow } from '../../core/rethrow.js';
import type { CloseReason } from '../../core/statistics.js';
import { ConnectionRole } from '../hosts/connection-role.js';
import type { ServerFacts } from '../hosts/server-facts.js';
import { ToldRole } from '../hosts/told-role.js';
import type { HostTarget } from '../options/host-options.js';
import { pg } from '../pg.js';
import {
  answerWaitersWhenEnded,
  guardIncoming,
  processIdOf,
  protocolOf,
  queuedQueries,
  type TransactionStatus,
} from '../pg-internals.js';
import { endsConnection } from '../server-errors.js';
import { MessageGuard } from '../wire/message-guard.js';
import { InPlaceSocket } from '../in-place-socket.js';
import { AddedProperties } from './added-properties.js';
import { Cancellation } from './cancellation.js';
import { CarriedName } from './carried-name.js';
import { refuseWithoutPassword } from './login-checks.js';
import { Session } from './session.js';
import type { RunnerHost } from './runner-host.js';
import { StatementRunner, type StatementSender } from './statement-runner.js';
import { StatementsUnderway } from './statements-underway.js';

/** What a connection needs of its pool. */
export interface ConnectionHost extends RunnerHost {
  readonly clock: Clock;
  readonly clientConfig: ClientConfig;
  /** Which one of several hosts `clientConfig` names. */
  readonly hostTarget?: HostTarget | undefined;
  /** A cancel request failed: the server goes on with a query that nobody waits for. */
  cancelFailed(): void;
}

const TAKEN_FOR: ServerFacts = Object.freeze({ standby: false, readOnly: false });

/**
 * One physical connection: a `pg.Client` from its dial to the end of its socket. Every event of the socket ends here, so
 * none is ever unhandled; statements run through its {@link StatementRunner}.
 */
export class PostgresConnection {
  readonly client: Client;
  /** Resolves when its socket is gone. */
  readonly ended: Promise<void>;
  /** What the server's session is like. */
  readonly session: Session;
  /** The statements that run on it. */
  readonly underway: StatementsUnderway;
  /** Sends its statements. */
  runner: StatementSender;
  /** The transaction that its borrowers know of, in a test with another one around it; `undefined`: as the server tells. */
  shownStatus: TransactionStatus | undefined = undefined;
  /** What is known of its server's role by asking. */
  readonly role = new ConnectionRole();
  /** What its server reports of its role by itself. */
  readonly told: ToldRole;
  /** Which one of several hosts it goes to. */
  readonly hostTarget: HostTarget | undefined;
  /** Why it must be closed when it is given back, though its socket may still live. */
  closeReason: CloseReason | undefined = undefined;
  /** The borrower's client, once that has listeners: it gets the events. */
  borrower: PoolClient | undefined = undefined;
  /** The name that it was given for others of the fleet to read; `undefined`: it has the one that it began with. */
  carries: CarriedName | undefined = undefined;
  /** What hooks have put on its client. */
  added: AddedProperties | undefined = undefined;
  readonly #runner: StatementRunner;
  readonly #lost: (error?: Error) => void;
  readonly #cancellation: Cancellation;
  #state: 'open' | 'closing' | 'ended' = 'open';
  #failure: Error | undefined;
  #ending: Promise<void> | undefined;

  constructor(host: ConnectionHost, lost: (error?: Error) => void) {
    this.#lost = lost;
    const client = new pg.Client(withInPlaceSocket(host.clientConfig));
    this.client = client;
    this.hostTarget = host.hostTarget;
    this.told = new ToldRole(protocolOf(client));
    this.#cancellation = new Cancellation({
      client,
      clientConfig: host.clientConfig,
      clock: host.clock,
      cancelFailed: () => {
        this.closeReason ??= 'broken';
        host.cancelFailed();
      },
    });
    this.session = new Session(client, host);
    this.underway = new StatementsUnderway(host, this, this.#cancellation);
    this.#runner = new StatementRunner(host, this, this.#guardIncoming());
    this.runner = this.#runner;
    this.ended = new Promise((resolve) => protocolOf(client).once('end', resolve));
    this.#listen();
  }

  /** What checks all that the server sends; `undefined` where pg reads in a way that isn't known. */
  #guardIncoming(): MessageGuard | undefined {
    const protocol = protocolOf(this.client);
    const guard = new MessageGuard({ client: this.client, ending: (error) => this.fail(error) });
    if (!guardIncoming(protocol, (bytes, pass) => guard.read(bytes, pass))) return undefined;
    if (protocol.stream instanceof InPlaceSocket) protocol.stream.reader = guard;
    return guard;
  }

  #listen(): void {
    const { client } = this;
    const protocol = protocolOf(client);
    protocol.on('errorMessage', (error: Error) => {
      if (endsConnection(error)) this.fail(error);
      else this.role.failed(error);
    });
    answerWaitersWhenEnded(protocol);
    client.on('error', (error) => this.fail(error));
    client.on('end', () => this.#end());
    client.on('notice', (notice) => this.#tell('notice', notice));
    client.on('notification', (message) => this.#tell('notification', message));
    client.on('drain', () => this.#tell('drain'));
  }

  /** Dials and logs in. The signal's abort destroys the socket, which ends the step. */
  async connect(signal: AbortSignal): Promise<void> {
    const { client } = this;
    refuseWithoutPassword(client);
    // pg reports some errors to the client alone, such as a failed hash of the password: the dial would wait for ever.
    const end = (error: Error): void => void protocolOf(client).stream.destroy(error);
    client.once('error', end);
    signal.throwIfAborted();
    await client.connect();
    signal.throwIfAborted();
    client.removeListener('error', end);
    this.added = new AddedProperties(client);
    this.#runner.useWire();
  }

  /** The role of its server; a primary where nothing is known. */
  get facts(): ServerFacts {
    return this.told.facts ?? TAKEN_FOR;
  }

  /** Whether one more query may join those that are under way: not where the server's role is to be asked for. */
  get shareable(): boolean {
    return this.alive && this.runner.shareable && !this.role.toBeAsked;
  }

  /** Whether its socket is open and the connection isn't being closed. */
  get alive(): boolean {
    return this.#state === 'open' && this.closeReason === undefined && protocolOf(this.client).stream.writable;
  }

  /** Whether this side has given it up while something ran on it. */
  get abandoned(): boolean {
    return this.#ending !== undefined;
  }

  /** Whether the next borrower can have it: alive, nothing running, queued or left open. */
  get usable(): boolean {
    return this.alive && !this.inTransaction && this.underway.quiet;
  }

  /** How the transaction of its borrower stands. */
  get transactionStatus(): TransactionStatus {
    return this.shownStatus ?? this.session.transactionStatus;
  }

  /** Whether a transaction is open, failed or not. */
  get inTransaction(): boolean {
    return this.transactionStatus !== 'I';
  }

  /** Why it died by itself. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The server's process id. */
  get processId(): number | undefined {
    return processIdOf(this.client);
  }

  /** Whether its socket keeps the process alive: an idle one doesn't, as in `undici` and Node's own agents. */
  holdProcess(hold: boolean): void {
    const { stream } = protocolOf(this.client);
    if (hold) stream.ref();
    else stream.unref();
  }

  /** It was given a name for others of the fleet to read. */
  carry(name: string): void {
    if (this.carries === undefined) this.carries = new CarriedName(protocolOf(this.client), name);
    else this.carries.renew(name);
  }

  /** What it does now, for people. */
  activity(): HolderActivity {
    const serverId = this.processId;
    const lost = this.#failure !== undefined || this.#state === 'ended';
    const statement = this.underway.lastStatement;
    // What the server says while the last borrower's transaction ends is said of that.
    const inTransaction = !lost && !this.underway.follows && this.inTransaction;
    return {
      ...(lost ? { lost } : undefined),
      active: !lost && this.underway.active,
      inTransaction,
      ...(inTransaction ? { statements: this.underway.count } : undefined),
      ...(statement === undefined ? undefined : { statement }),
      ...(serverId === undefined ? undefined : { serverId }),
    };
  }

  /** The borrower is gone. */
  forgetBorrower(): void {
    this.borrower = undefined;
    this.underway.forgetBorrower();
  }

  /** Runs one statement of the pool's own; its time limit is the pool's. */
  run(text: string, values?: unknown[]): Promise<QueryResult> {
    return this.runner.run(text, values);
  }

  /**
   * Gives the connection up while something runs on it: asks the server to cancel that, then destroys the socket.
   * In this order, because a server that has lost its client goes on with the query to its end.
   */
  abandon(reason: CloseReason): void {
    this.closeReason ??= reason;
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#ending = this.cancel().finally(() => protocolOf(this.client).stream.destroy());
  }

  /**
   * Its borrower has sent the last thing that it will send. Returns whether the next one may have it at once, whose statements
   * then stand behind that.
   */
  handOn(): boolean {
    const { head } = this.#runner;
    if (head?.place?.role !== 'end' || !this.alive || this.session.pooled || !this.#runner.asksAlong) return false;
    // A cancel request that is on its way could hit what the next borrower runs.
    if (queuedQueries(this.client) > 0 || this.underway.follows || this.#cancellation.underway !== undefined)
      return false;
    this.session.ends();
    this.runner.transaction = undefined;
    this.underway.handOn(head);
    this.forgetBorrower();
    return true;
  }

  /**
   * Asks the server to cancel what runs now. A request that fails is counted, and the connection is closed on return: the
   * request may still arrive later, and cancel another query.
   */
  async cancel(): Promise<void> {
    const { before } = this.underway;
    // It would cancel somebody else's `COMMIT`.
    if (before !== undefined) await before;
    await this.#cancellation.request();
  }

  /** Closes it, politely with a goodbye to the server or at once; resolves when the socket is gone. */
  async close(politely: boolean): Promise<void> {
    const { stream } = protocolOf(this.client);
    if (this.#ending !== undefined) {
      await this.#ending;
    } else if (this.#state !== 'ended') {
      this.#state = 'closing';
      if (politely && stream.writable && this.underway.quiet) void this.client.end().catch(ignore);
      else stream.destroy();
    }
    await this.ended;
  }

  /** Destroys the socket now, whatever is under way. */
  destroy(): void {
    if (this.#state === 'open') this.#state = 'closing';
    protocolOf(this.client).stream.destroy();
  }

  /** It has died by itself. */
  fail(error: Error): void {
    if (this.#state !== 'open' || this.#failure !== undefined) return;
    this.#failure = error;
    this.closeReason ??= 'broken';
    this.#lost(error);
    const { borrower } = this;
    if (borrower !== undefined && borrower.listenerCount('error') > 0) this.#tell('error', error);
  }

  #end(): void {
    const byItself = this.#state === 'open';
    this.#state = 'ended';
    this.#cancellation.stop();
    if (byItself) {
      this.closeReason ??= 'broken';
      this.#lost(this.#failure);
    }
    this.#tell('end');
  }

  /** Emits an event on the borrower's client. A listener that throws must not stop the messages that follow. */
  #tell(event: string, what?: unknown): void {
    try {
      this.borrower?.emit(event as 'notice', what as never);
    } catch (error) {
      rethrow(error);
    }
  }
}

/** pg's own socket is replaced, where it has one and uses no TLS. */
function withInPlaceSocket(config: ClientConfig): ClientConfig {
  if (config.stream !== undefined || (config.ssl !== undefined && config.ssl !== false)) return config;
  return { ...config, stream: () => new InPlaceSocket() };
}

function ignore(): void {
  // A connection that is closed anyway may fail at it.
}
