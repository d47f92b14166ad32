import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** A program of this repository that runs in a process of its own. */
export interface Child {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  /** Everything it has printed so far. */
  output(): string;
  /** Waits until it prints something that matches; rejects with its output when it ends before. */
  prints(pattern: RegExp): Promise<RegExpMatchArray>;
  /** Settles with how it ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Runs a TypeScript file of the repository: `runTypeScript(new URL('./program.ts', import.meta.url))`. */
export function runTypeScript(
  file: URL,
  options: { env?: NodeJS.ProcessEnv; cwd?: string; args?: string[]; nodeOptions?: string[] } = {},
): Child {
  const loader = new URL('./typescript.mjs', import.meta.url).href;
  const child = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      ...(options.nodeOptions ?? []),
      '--import',
      loader,
      fileURLToPath(file),
      ...(options.args ?? []),
    ],
    { env: { ...process.env, ...options.env }, cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  return {
    process: child,
    ended,
    output: () => output,
    prints: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = output.match(pattern);
          if (match === null) return;
          listeners.delete(look);
          resolve(match);
        };
        listeners.add(look);
        look();
        void ended.then(() => {
          look();
          reject(new Error(`ended before it printed ${pattern}:\n${output}`));
        });
      }),
  };
}
