/** How a transaction begins. */
export interface Beginning {
  readonly isolationLevel?: string | undefined;
  readonly accessMode?: string | undefined;
  /** Whether a serialisable transaction that only reads waits until nothing can disturb it; left out: as the server has it. */
  readonly deferrable?: boolean | undefined;
  /** Settings for the transaction alone, by their names. */
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
 * `due`: nothing was sent; `sent`: it isn't answered; `open`: what comes runs in the transaction; `failed`: there is none, or
 * one in which nothing can be done.
 */
export type OpeningState = 'due' | 'sent' | 'open' | 'failed';

/**
 * `BEGIN` and what is set for the transaction: sent ahead of its first statement and in the same flight. The server passes
 * over the statement when that fails, so that nothing of a transaction runs outside it.
 */
export class Opening {
  readonly statements: readonly OpeningStatement[];
  /** Whether somebody is about to send it. */
  claimed = false;
  #state: OpeningState = 'due';
  /** How many of its statements are answered. */
  #answered = 0;
  #error: Error | undefined = undefined;
  #told = false;
  #waiting: (() => void)[] | undefined = undefined;

  constructor(beginning: Beginning) {
    const { settings } = beginning;
    const text = textOf(beginning);
    if (settings === undefined && text === 'begin') this.statements = PLAIN;
    else this.statements = [{ text, values: NO_VALUES }, ...settingStatements(settings ?? {})];
  }

  get state(): OpeningState {
    return this.#state;
  }

  /** What `BEGIN` is called here. */
  get text(): string {
    return (this.statements[0] as OpeningStatement).text;
  }

  /** What the server said against it. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** It is among what leaves now. */
  sent(): void {
    this.#state = 'sent';
  }

  /** The statement of which the answer is due. */
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
   * Nothing comes of it.
   *
   * @param told whether the first statement hears the error anyway.
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

  /** What a statement hears whose transaction could not be begun: the first one why, and the others that it was not. */
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

/** In Kysely's own words, for those who read its log. */
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
