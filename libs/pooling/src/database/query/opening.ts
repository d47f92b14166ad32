/** How a transaction begins. */
export interface Beginning {
  readonly isolationLevel?: string | undefined;
  readonly accessMode?: string | undefined;
  /** Whether a serialisable read-only transaction waits until nothing can disturb it; left out: the server's default. */
  readonly deferrable?: boolean | undefined;
  /** Settings for this transaction alone, by name. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** A statement that is sent ahead of another one. */
export interface OpeningStatement {
  readonly text: string;
  readonly values: readonly string[];
}

const NO_VALUES: readonly string[] = [];
const PLAIN: readonly OpeningStatement[] = [{ text: 'begin', values: NO_VALUES }];

/**
 * `due`: nothing was sent. `sent`: no answer yet. `open`: statements run in the transaction. `failed`: there is no
 * transaction, or one in which nothing can be done.
 */
export type OpeningState = 'due' | 'sent' | 'open' | 'failed';

/**
 * `BEGIN` and the settings of a transaction. They are sent ahead of its first statement, in the same flight. When they fail,
 * the server skips the statement, so that nothing runs outside of its transaction.
 */
export class Opening {
  readonly statements: readonly OpeningStatement[];
  readonly #beginning: Beginning;
  /** Counts the connections on which it was tried. */
  readonly attempt: number;
  /** Whether it is about to be sent. */
  claimed = false;
  #state: OpeningState = 'due';
  /** How many of its statements are answered. */
  #answered = 0;
  #error: Error | undefined = undefined;
  #told = false;
  #waiting: (() => void)[] | undefined = undefined;

  constructor(beginning: Beginning, attempt = 1) {
    this.#beginning = beginning;
    this.attempt = attempt;
    const { settings } = beginning;
    const text = textOf(beginning);
    if (settings === undefined && text === 'begin') this.statements = PLAIN;
    else this.statements = [{ text, values: NO_VALUES }, ...settingStatements(settings ?? {})];
  }

  get state(): OpeningState {
    return this.#state;
  }

  /** The text of `BEGIN`, with its modes. */
  get text(): string {
    return (this.statements[0] as OpeningStatement).text;
  }

  /** The server's error. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** The same, for another try on another connection. */
  again(): Opening {
    return new Opening(this.#beginning, this.attempt + 1);
  }

  /** It is being sent. */
  sent(): void {
    this.#state = 'sent';
  }

  /** The statement whose answer comes next. */
  get next(): OpeningStatement | undefined {
    return this.statements[this.#answered];
  }

  /** One of its statements was answered; returns whether that was the last one. */
  answeredOne(): boolean {
    this.#answered++;
    if (this.next !== undefined) return false;
    this.#settle('open');
    return true;
  }

  /**
   * It has failed.
   *
   * @param told whether the first statement gets the error anyway.
   */
  failed(error: Error, told: boolean): void {
    this.#error ??= error;
    this.#told = told;
    this.#settle('failed');
  }

  /** Calls back when it is answered. */
  whenAnswered(callback: () => void): void {
    if (this.#state === 'open' || this.#state === 'failed') return callback();
    (this.#waiting ??= []).push(callback);
  }

  #settle(state: 'open' | 'failed'): void {
    this.#state = state;
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const callback of waiting) callback();
  }

  /** The error of a statement whose transaction could not be begun: for the first one the server's, for the others 25P02. */
  failure(): Error {
    const { error } = this;
    if (!this.#told && error !== undefined) {
      this.#told = true;
      return error;
    }
    const message = 'the statement was not sent: its transaction could not be begun';
    return Object.assign(new Error(message, { cause: error }), { code: '25P02' });
  }
}

/** In the words of Kysely, which its log shows. */
function textOf({ isolationLevel, accessMode, deferrable }: Beginning): string {
  const modes: string[] = [];
  if (isolationLevel !== undefined) modes.push(`isolation level ${isolationLevel}`);
  if (accessMode !== undefined) modes.push(accessMode);
  if (deferrable !== undefined) modes.push(deferrable ? 'deferrable' : 'not deferrable');
  return modes.length === 0 ? 'begin' : `start transaction ${modes.join(' ')}`;
}

function settingStatements(settings: Readonly<Record<string, string | number | boolean>>): OpeningStatement[] {
  const entries = Object.entries(settings);
  if (entries.length === 0) return [];
  const calls = entries.map((_, at) => `set_config($${2 * at + 1}, $${2 * at + 2}, true)`);
  return [{ text: `select ${calls.join(', ')}`, values: entries.flatMap(([name, value]) => [name, String(value)]) }];
}
