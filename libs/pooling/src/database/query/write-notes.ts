import type { QueryResult } from 'pg';
import type { QueryOutcome } from './query-forms.js';

/** Asks a primary where its log is: behind every write that is answered. Figures come as text, as parsers may be the user's own. */
export const POSITION_QUESTION =
  'select pg_current_wal_insert_lsn()::text as lsn, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline';

/** The note that is taken of one write. */
export interface WriteNote {
  /** It is done, and stands before the position that the server has answered. */
  at(answer: QueryResult): void;
  /** It may be done, and nobody knows where it stands. `error`: why not, where the server was asked. */
  somewhere(error?: Error): void;
}

/** Takes notes of what is written, so that reads elsewhere can see it. */
export interface WriteNotes {
  /** For a write that is made now. */
  begin(): WriteNote;
}

/** What asks a connection's server, perhaps together with the statements before and behind. */
export interface Asker {
  /** Whether a question leaves without waiting for the answer to what was sent before. */
  readonly asksAlong: boolean;
  ask(text: string, timeoutMs: number, callback: QueryOutcome): void;
}

/** An outcome that takes note of a write of which it isn't asked where it stands. */
export function noting(note: WriteNote, outcome: QueryOutcome): QueryOutcome {
  return (error, result, untouched) => {
    if (untouched !== true) note.somewhere();
    outcome(error, result, untouched);
  };
}

/** A write whose caller hears of it when it is also known where it stands in the server's log: asked for in its own flight. */
export class PositionedWrite {
  readonly #note: WriteNote;
  readonly #asker: Asker;
  readonly #timeoutMs: number;
  readonly #outcome: QueryOutcome;
  #result: QueryResult | undefined = undefined;
  #asking = false;

  constructor(note: WriteNote, asker: Asker, timeoutMs: number, outcome: QueryOutcome) {
    this.#note = note;
    this.#asker = asker;
    this.#timeoutMs = timeoutMs;
    this.#outcome = outcome;
  }

  /** The write's own answer. */
  readonly answered: QueryOutcome = (error, result, untouched) => {
    if (error !== undefined) {
      // Of a text with several statements some may have been committed.
      if (untouched !== true) this.#note.somewhere();
      return this.#outcome(error, result, untouched);
    }
    this.#result = result;
    if (!this.#asking) this.#ask();
  };

  /** The write was sent: asks behind it, where that needs no wait for its answer. */
  sent(): void {
    if (this.#asker.asksAlong) this.#ask();
  }

  #ask(): void {
    this.#asking = true;
    this.#asker.ask(POSITION_QUESTION, this.#timeoutMs, this.#positioned);
  }

  readonly #positioned: QueryOutcome = (error, answer) => {
    this.#asking = false;
    // It has failed, or was sent again behind this question.
    if (this.#result === undefined) return;
    if (error === undefined) this.#note.at(answer);
    else this.#note.somewhere(error);
    this.#outcome(undefined, this.#result);
  };
}
