import { fork, type ChildProcess } from 'node:child_process';

type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string };

/** A candidate's process: it is asked, one question at a time, and answers. */
export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 1;

  constructor(program: URL, parameters: readonly string[], nodeOptions: readonly string[] = []) {
    this.#process = fork(program, parameters, { serialization: 'advanced', execArgv: [...nodeOptions] });
    this.#process.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer.value);
      else waiting?.reject(new Error(`${parameters[0]}: ${answer.error}`));
    });
    this.#process.on('exit', (code, signal) => {
      const error = new Error(`${parameters[0]}: its process ended (${signal ?? code})`);
      for (const waiting of this.#waiting.values()) waiting.reject(error);
      this.#waiting.clear();
    });
  }

  /** Asks for something and waits for the answer. */
  ask<Value>(question: string, ...parameters: readonly unknown[]): Promise<Value> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = withResolvers<unknown>();
    this.#waiting.set(id, { promise, resolve, reject });
    this.#process.send({ id, question, parameters });
    return promise as Promise<Value>;
  }

  /** Ends the process. */
  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.kill('SIGKILL');
    await ended;
  }
}

interface PromiseWithResolvers<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

function withResolvers<Value>(): PromiseWithResolvers<Value> {
  let resolve!: (value: Value) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<Value>((resolvePromise, rejectPromise) => {
    resolve = resolvePromise;
    reject = rejectPromise;
  });
  return { promise, resolve, reject };
}

/** What a candidate's process answers to, by name. */
export type Questions = Readonly<Record<string, (...parameters: never[]) => unknown>>;

/** The child's side: answers what the parent asks, one question at a time. */
export function answerParent(questions: Questions): void {
  process.on('message', async ({ id, question, parameters }: { id: number; question: string; parameters: never[] }) => {
    try {
      const value = await questions[question]?.(...parameters);
      process.send?.({ id, value } satisfies Answer);
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
  process.on('disconnect', () => process.exit());
}
