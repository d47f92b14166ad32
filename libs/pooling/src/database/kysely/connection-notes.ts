import type { CompiledQuery } from 'kysely';
import type { Beginning } from '../query/opening.js';
import type { WriteNote, WriteNotes } from '../query/write-notes.js';
import { COMMAND_ID } from './command-query.js';
import { isRead } from './read-query.js';

/** Takes notes of what is written on one connection of Kysely's: one of a transaction, and one of each other statement. */
export class ConnectionNotes {
  readonly #writes: WriteNotes | undefined;
  /** Whether the transaction may write, and whether it has. */
  #mayWrite = true;
  #wrote = false;

  constructor(writes: WriteNotes | undefined) {
    this.#writes = writes;
  }

  /** A transaction begins. */
  begin({ accessMode }: Beginning): void {
    this.#mayWrite = accessMode !== 'read only';
    this.#wrote = false;
  }

  /** A statement of the transaction. */
  asked(query: CompiledQuery): void {
    if (this.#writes === undefined || this.#wrote || !this.#mayWrite) return;
    this.#wrote = query.queryId !== COMMAND_ID && !isRead(query);
  }

  /** The note of the transaction, which is about to be committed; `undefined`: it has written nothing. */
  get ofTransaction(): WriteNote | undefined {
    return this.#wrote ? this.#writes?.begin() : undefined;
  }

  /** The note of a statement outside of a transaction. */
  ofStatement(query: CompiledQuery): WriteNote | undefined {
    return this.#writes === undefined || isRead(query) ? undefined : this.#writes.begin();
  }
}
