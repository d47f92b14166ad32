import type { CompiledQuery, QueryResult } from 'kysely';
import { inRequest, presentRequest } from '../../../core/request-context.js';
import { runBatchOn } from '../batch-on-connection.js';
import type { BatchRunner } from '../collected-queries.js';
import type { Scope } from './scope.js';

/** Counts the statements of a call with its own time limit, those of inner calls included. */
export class CallStatements {
  unanswered = 0;
  readonly #outer: CallStatements | undefined;

  constructor(outer: CallStatements | undefined) {
    this.#outer = outer;
  }

  async count<Result>(run: () => Promise<Result>): Promise<Result> {
    this.#add(1);
    try {
      return await run();
    } finally {
      this.#add(-1);
    }
  }

  #add(by: 1 | -1): void {
    this.unanswered += by;
    if (this.#outer !== undefined) this.#outer.#add(by);
  }
}

/** Which transaction code belongs to. There is one for each call that begins, joins or leaves a transaction. */
export class Membership {
  /** Identifies the database: its pool, or what a test has put in its place. */
  readonly database: object;
  readonly name: string;
  /** The membership around it: of another database, or of the transaction in which this one is nested. */
  readonly outer: Membership | undefined;
  /** Where its statements go; `undefined`: outside of any transaction. A savepoint replaces the scope around it. */
  scope: Scope | undefined;
  /** Whether a statement belongs here by the object it is made with, and not by the context: that of `startTransaction()`. */
  byObject = false;
  /** The savepoint that Kysely has begun for it. */
  savepoint: Scope | undefined = undefined;
  /** Whether it stands for a transaction or savepoint, and not for a `db.connection()` within one. */
  begun = true;
  /** Counts its statements, when it is part of a call with a time limit of its own. */
  readonly statements: CallStatements | undefined;

  constructor(
    { database, name }: { readonly database: object; readonly name: string },
    outer: Membership | undefined,
    scope: Scope | undefined,
    statements = outer?.statements,
  ) {
    this.database = database;
    this.name = name;
    this.outer = outer;
    this.scope = scope;
    this.statements = statements;
  }

  /** Runs a statement in its transaction. */
  execute<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const scope = this.scope as Scope;
    return this.statements === undefined
      ? scope.execute<Row>(query)
      : this.statements.count(() => scope.execute<Row>(query));
  }

  /** The membership of a statement that is made with an object of this transaction, in the context of `present`. */
  of(present: Membership | undefined): Membership {
    if (this.byObject || present === undefined) return this;
    return present.scope?.transaction === this.scope?.transaction ? present : this;
  }

  /** Runs the queries of a batch in its transaction. */
  get batches(): BatchRunner {
    return {
      owner: this.scope as Scope,
      runBatch: (queries) => runBatchOn((query) => this.execute(query), queries),
    };
  }

  /** A membership of the same scope for a `db.connection()`, on which a savepoint may begin. */
  connectionWithin(outer: Membership | undefined): Membership {
    const own = new Membership(this, outer, this.scope);
    own.begun = false;
    return own;
  }

  /** Runs a function, and everything that it starts, as a member. */
  run<Result>(fn: () => Result): Result {
    return inRequest({ transaction: this }, fn);
  }
}

/** The innermost membership of what runs now, of whichever database. */
export function innermost(): Membership | undefined {
  return presentRequest()?.transaction as Membership | undefined;
}

/**
 * The membership of what runs now in a transaction of one database, over or not.
 *
 * @param joins another database whose transactions count as well.
 */
export function membershipIn(database: object, joins: object = database): Membership | undefined {
  let membership = innermost();
  while (membership !== undefined && membership.database !== database && membership.database !== joins) {
    membership = membership.outer;
  }
  return membership?.scope === undefined ? undefined : membership;
}

/** The innermost running transaction: of any database, or of the one of this name. */
export function runningScope(name?: string): Scope | undefined {
  const left = new Set<object>();
  for (let membership = innermost(); membership !== undefined; membership = membership.outer) {
    const { database, scope } = membership;
    if (left.has(database) || (name !== undefined && membership.name !== name)) continue;
    if (scope !== undefined) return scope;
    // This call has left the transaction: memberships of it further out don't count.
    left.add(database);
  }
  return undefined;
}
