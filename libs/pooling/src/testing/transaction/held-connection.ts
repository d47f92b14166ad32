import type { QueryResult, Submittable } from 'pg';
import type { AcquireOrigin } from '../../core/acquire-origin.js';
import { acquirerOf, nameAcquirer } from '../../core/holders.js';
import { Lease, type LeaseOwner } from '../../core/lease.js';
import { PoolEntry } from '../../core/pool-entry.js';
import type { LeaseUse } from '../../core/pool-options.js';
import { rethrow } from '../../core/rethrow.js';
import type { PostgresConnection } from '../../database/connection/connection.js';
import type { StatementSender } from '../../database/connection/statement-runner.js';
import type { DatabaseLease } from '../../database/database-lease.js';
import { pg } from '../../database/pg.js';
import { protocolOf, type TransactionStatus } from '../../database/pg-internals.js';
import type { Opening, OpeningStatement } from '../../database/query/opening.js';
import type { QueryOutcome } from '../../database/query/query-forms.js';
import { cantBeSo, explained } from './refusals.js';
import { kindOf, localSettingsOf } from './statement-kind.js';
import type { Turn } from './turn.js';

/** The one connection of a test, as those see it who hold it one after the other. */
export interface TestConnection extends LeaseOwner<PostgresConnection> {
  /** The name of the pool. */
  readonly name: string;
  readonly connection: PostgresConnection;
  /** What really sends statements. */
  readonly sender: StatementSender;
  /** Resolves when nobody holds the connection who got it later. */
  onTop(held: HeldConnection): Promise<void>;
  nextSavepoint(): string;
}

/** Who holds it, and why. */
export interface HoldingParts {
  readonly use: LeaseUse;
  readonly origin: AcquireOrigin;
  readonly turn: Turn | undefined;
  readonly now: () => number;
}

/** How a statement ends. */
interface Answer {
  readonly error?: Error | undefined;
  readonly result?: QueryResult | undefined;
  readonly untouched?: boolean | undefined;
}

type Send = (callback: QueryOutcome) => void;

/** What pg calls on a query object besides what its type tells. */
type Submitted = Submittable & { handleError?(error: unknown, connection: unknown): void };

let numbers = 0;

/**
 * One lease of the connection that everybody shares in a test. A transaction of its holder's is a savepoint, and each statement
 * outside one is guarded by a savepoint, so that its error aborts nothing else.
 */
export class HeldConnection {
  readonly lease: DatabaseLease;
  readonly entry: PoolEntry<PostgresConnection>;
  readonly turn: Turn | undefined;
  /** Whether what its holder acquires meanwhile comes in between: what runs one statement has no meanwhile. */
  readonly nests: boolean;
  /** Whether it was given back. */
  over = false;
  readonly #test: TestConnection;
  readonly #now: () => number;
  /** That of its holder's transaction, as the holder knows it. */
  #status: TransactionStatus = 'I';
  /** Stands for the holder's transaction. */
  #savepoint: string | undefined = undefined;
  /** What was set for the holder's transaction alone, and what it was before. */
  readonly #settings = new Map<string, string | null>();
  #submitted: Submitted | undefined = undefined;
  #work: Promise<void> = Promise.resolve();
  #running = 0;
  #quietSince: number;

  constructor(test: TestConnection, { use, origin, turn, now }: HoldingParts) {
    this.#test = test;
    this.#now = now;
    this.#quietSince = now();
    this.turn = turn;
    this.nests = use === 'held';
    this.entry = new PoolEntry<PostgresConnection>(++numbers, 0);
    this.entry.connection = test.connection;
    this.entry.origin = origin;
    // Nobody else uses it at the same time.
    this.entry.use = use === 'shared' ? 'brief' : use;
    this.lease = new Lease(test, this.entry);
  }

  /** As its holder knows it. */
  get status(): TransactionStatus {
    return this.#status;
  }

  /** For how long nothing has run, in milliseconds: 0 while something does. */
  get quietMs(): number {
    return this.#running > 0 ? 0 : this.#now() - this.#quietSince;
  }

  /** Who holds it, for people. */
  get holder(): string {
    return nameAcquirer(acquirerOf(this.entry.origin)) ?? 'unknown code';
  }

  /** Does one thing after the other, each when nobody is in between. */
  #run(work: () => Promise<void>): Promise<void> {
    this.#running++;
    const done = this.#work.then(async () => {
      await this.#test.onTop(this);
      await work();
    });
    this.#work = done
      .catch(() => undefined)
      .finally(() => {
        this.#running--;
        this.#quietSince = this.#now();
      });
    return done;
  }

  /** Runs what the pool does before each lease, guarded as a statement is. */
  prepare(hook: () => void | Promise<void>): Promise<void> {
    return this.#run(async () => {
      const { error } = await this.#guarded(async () => {
        try {
          await hook();
          return {};
        } catch (thrown) {
          return { error: thrown as Error };
        }
      });
      if (error !== undefined) throw error;
    });
  }

  /** Runs a statement of its holder's. */
  statement(text: string, values: readonly unknown[], send: Send, callback: QueryOutcome): void {
    void this.#run(async () => {
      const { error, result, untouched } = await this.#answerTo(text, values, send).catch((thrown: Error): Answer => ({
        error: thrown,
      }));
      tell(callback, explained(this.#test.name, text, error), result, untouched);
    });
  }

  async #answerTo(text: string, values: readonly unknown[], send: Send): Promise<Answer> {
    const kind = kindOf(text);
    switch (kind.kind) {
      case 'refused':
        throw cantBeSo(this.#test.name, text, kind.why);
      case 'begin':
        return { result: tagged(await this.#begin(kind.accessMode), 'BEGIN') };
      case 'mode':
        if (this.#savepoint !== undefined) await this.#setMode(kind.accessMode);
        return { result: tagged(await this.#command(''), 'SET') };
      case 'commit':
      case 'rollback': {
        const result = await (kind.kind === 'commit' ? this.#commit() : this.#rollBack());
        if (kind.chain) await this.#begin(undefined);
        return { result };
      }
      default:
        if (this.#savepoint === undefined) return await this.#guarded(() => answered(send));
        return await this.#within(text, values, send, kind.kind === 'back');
    }
  }

  /** Runs a statement of the holder's transaction. */
  async #within(text: string, values: readonly unknown[], send: Send, heals: boolean): Promise<Answer> {
    if (this.#status === 'T') await this.#remember(localSettingsOf(text, values));
    const answer = await answered(send);
    if (answer.error instanceof pg.DatabaseError) this.#show('E');
    else if (heals && answer.error === undefined) this.#show('T');
    return answer;
  }

  /** Runs what belongs to no transaction: its error undoes that alone. */
  async #guarded(run: () => Promise<Answer>): Promise<Answer> {
    const guard = this.#test.nextSavepoint();
    await this.#command(`savepoint ${guard}`);
    const answer = await run();
    if (answer.error === undefined) await this.#command(`release savepoint ${guard}`);
    // Where it fails, the connection is lost: the statement's own error says more.
    else await this.#command(undone(guard)).catch(() => undefined);
    return answer;
  }

  /** Begins a transaction with what is set for it, which nobody has to wait for. */
  open(opening: Opening): void {
    opening.claimed = true;
    opening.sent();
    void this.#run(async () => {
      try {
        const [begin, ...settings] = opening.statements as [OpeningStatement, ...OpeningStatement[]];
        const kind = kindOf(begin.text);
        await this.#begin(kind.kind === 'begin' ? kind.accessMode : undefined);
        opening.answeredOne();
        for (const { text, values } of settings) {
          await this.#remember(values.filter((_, at) => at % 2 === 0));
          await this.#command(text, [...values]);
          opening.answeredOne();
        }
      } catch (error) {
        if (this.#savepoint !== undefined) this.#show('E');
        opening.failed(error as Error, false);
      }
    });
  }

  async #begin(accessMode: 'read only' | 'read write' | undefined): Promise<QueryResult> {
    // PostgreSQL warns of a second BEGIN, and does nothing.
    if (this.#savepoint !== undefined) return await this.#command('');
    const savepoint = this.#test.nextSavepoint();
    const result = await this.#command(`savepoint ${savepoint}`);
    this.#savepoint = savepoint;
    this.#show('T');
    await this.#setMode(accessMode);
    return result;
  }

  /** Of how a transaction runs, a savepoint in one can only say that it writes nothing. */
  async #setMode(accessMode: 'read only' | 'read write' | undefined): Promise<void> {
    if (accessMode === 'read only') await this.#command('set transaction read only');
  }

  async #commit(): Promise<QueryResult> {
    if (this.#savepoint === undefined) return tagged(await this.#command(''), 'COMMIT');
    if (this.#status === 'E') return await this.#rollBack();
    let result: QueryResult;
    try {
      await this.#command(checksOfCommit(this.#test.nextSavepoint()));
      for (const [name, value] of this.#settings) {
        await this.#command('select set_config($1, $2, true)', [name, value ?? '']);
      }
      result = await this.#command(`release savepoint ${this.#savepoint}`);
    } catch (error) {
      const rolledBack = await this.#rollBack();
      if ((error as { code?: unknown }).code === '25P02') return rolledBack;
      throw error;
    }
    this.#ended();
    return tagged(result, 'COMMIT');
  }

  async #rollBack(): Promise<QueryResult> {
    const savepoint = this.#savepoint;
    this.#ended();
    return tagged(await this.#command(savepoint === undefined ? '' : undone(savepoint)), 'ROLLBACK');
  }

  #ended(): void {
    this.#savepoint = undefined;
    this.#settings.clear();
    this.#show('I');
  }

  /** What is set for a transaction alone would outlive a savepoint: it is set back with the end of that. */
  async #remember(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (this.#settings.has(name)) continue;
      const { rows } = await this.#command('select current_setting($1, true) as value', [name]);
      this.#settings.set(name, (rows[0] as { value: string | null }).value);
    }
  }

  /** Runs a cursor, a stream or a `COPY`. */
  submit(submittable: Submitted): void {
    void this.#run(async () => {
      const guard = this.#savepoint === undefined ? this.#test.nextSavepoint() : undefined;
      const { connection, sender } = this.#test;
      try {
        if (guard !== undefined) await this.#command(`savepoint ${guard}`);
        this.#submitted = submittable;
        sender.submit(this.lease, submittable);
      } catch (error) {
        submittable.handleError?.(error, protocolOf(connection.client));
      }
      // pg sends it when the submission is over.
      const ended = this.#command(guard === undefined ? '' : `release savepoint ${guard}`);
      await ended.catch(() => (guard === undefined ? undefined : this.#command(undone(guard))));
      this.#submitted = undefined;
      if (guard === undefined) this.#show(connection.session.transactionStatus === 'E' ? 'E' : 'T');
    });
  }

  #command(text: string, values?: unknown[]): Promise<QueryResult> {
    return this.#test.sender.run(text, values);
  }

  #show(status: TransactionStatus): void {
    this.#status = status;
    this.#test.connection.shownStatus = status;
  }

  /** Its holder has given it back: what was asked for is done, and what was left open is undone. Never rejects. */
  async finish(): Promise<void> {
    closeSubmission(this.#submitted);
    await this.#run(async () => {
      if (this.#savepoint !== undefined) await this.#rollBack();
    }).catch(() => undefined);
    this.#test.connection.session.takeBackTypeParsers();
  }
}

/** Undoes all that was done since a savepoint. */
function undone(savepoint: string): string {
  return `rollback to savepoint ${savepoint}; release savepoint ${savepoint}`;
}

/**
 * Checks what a commit would check, deferred constraints and triggers: their errors are those of the commit. Undone at once, so
 * that they stay deferred in the transaction around.
 */
function checksOfCommit(savepoint: string): string {
  return `savepoint ${savepoint}; set constraints all immediate; ${undone(savepoint)}`;
}

function answered(send: Send): Promise<Answer> {
  return new Promise((resolve) => send((error, result, untouched) => resolve({ error, result, untouched })));
}

/** The answer to one command as that to another one. */
function tagged(answer: QueryResult | QueryResult[], command: string): QueryResult {
  const result = Array.isArray(answer) ? (answer[0] as QueryResult) : answer;
  return Object.assign(result, { command, rowCount: null });
}

/** Answers; what the caller throws is the process's business. */
function tell(
  callback: QueryOutcome,
  error: Error | undefined,
  result: QueryResult | undefined,
  untouched = false,
): void {
  try {
    callback(error, result as QueryResult, untouched);
  } catch (thrown) {
    rethrow(thrown);
  }
}

/** Ends a cursor or a stream that its holder has not read to its end. */
function closeSubmission(submitted: Submitted | undefined): void {
  const { close, destroy } = (submitted ?? {}) as { close?: unknown; destroy?: unknown };
  if (typeof close === 'function') void Promise.resolve(close.call(submitted) as unknown).catch(() => undefined);
  else if (typeof destroy === 'function') destroy.call(submitted);
}
