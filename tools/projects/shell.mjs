// Commands in a scratch folder: what they print is shown when they fail.
import { spawnSync } from 'node:child_process';

/** Nothing of this repository's environment: no flags of Node's, no variables of PostgreSQL's or of the npm that runs us. */
export function cleanEnvironment(additions = {}) {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(?:NODE_(?!EXTRA_CA)|PG|DATABASE_URL|INIT_CWD|npm_(?:lifecycle|package|command|node|execpath|config_local))/i.test(
        name,
      ),
  );
  return { ...Object.fromEntries(kept), CI: 'true', ...additions };
}

export class Shell {
  constructor(folder, env, say) {
    this.folder = folder;
    this.env = env;
    this.say = say;
  }

  /** The same in another folder. */
  in(folder) {
    return new Shell(folder, this.env, this.say);
  }

  run(program, parameters, { timeoutMs = 600_000, forbid } = {}) {
    const line = [program, ...parameters].join(' ');
    const startedAt = Date.now();
    const { status, signal, stdout, stderr, error } = spawnSync(program, parameters, {
      cwd: this.folder,
      env: this.env,
      encoding: 'utf8',
      timeout: timeoutMs,
      maxBuffer: 64 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.say(`  ${line} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
    const printed = `${stdout ?? ''}${stderr ?? ''}`;
    if (status !== 0) {
      throw new Error(`${line} ended with ${signal ?? status ?? error?.message}:\n${printed.slice(-8_000)}`);
    }
    if (forbid?.test(printed)) throw new Error(`${line} printed what it mustn't:\n${printed.slice(-8_000)}`);
    return stdout;
  }
}
