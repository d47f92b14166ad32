/** Units of PostgreSQL's time settings, in milliseconds: https://www.postgresql.org/docs/current/config-setting.html */
const UNITS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** PostgreSQL's time-outs are 32-bit milliseconds. */
export const LONGEST_SERVER_TIMEOUT_MS = 2_147_483_647;

/**
 * A time as the server reads it (`5000`, `5s`, `1.5 min`), in whole milliseconds; `undefined` where it makes no sense.
 * Units are written as PostgreSQL wants them: `us`, `ms`, `s`, `min`, `h`, `d`; without one it is milliseconds.
 */
export function serverMilliseconds(given: unknown): number | undefined {
  if (typeof given === 'number') return inRange(given);
  if (typeof given !== 'string') return undefined;
  const [, amount, unit] = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*$/.exec(given) ?? [];
  const factor = unit === '' ? 1 : UNITS[unit ?? ''];
  return amount === undefined || factor === undefined ? undefined : inRange(Number(amount) * factor);
}

function inRange(milliseconds: number): number | undefined {
  const whole = Math.round(milliseconds);
  return whole >= 0 && whole <= LONGEST_SERVER_TIMEOUT_MS ? whole : undefined;
}

/**
 * The settings in `options`, the command line of a session: `-c name=value`, `-cname=value`, `--name=value`, with a
 * backslash before a space or a backslash. Names in lower case, with `_` for `-`, as the server reads them; of a name
 * that is set twice the last counts. Other switches are the server's, or a pooler's, to read.
 */
export function settingsOf(options: string | undefined): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  const words = wordsOf(options ?? '');
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    const setting = word === '-c' ? words[++at] : (/^(?:-c|--)(.+)$/s.exec(word)?.[1] ?? undefined);
    const split = setting?.indexOf('=') ?? -1;
    if (setting === undefined || split < 1) continue;
    settings.set(setting.slice(0, split).toLowerCase().replaceAll('-', '_'), setting.slice(split + 1));
  }
  return settings;
}

function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [word] of text.matchAll(/(?:\\.|[^\s\\])+/gs)) words.push(word.replace(/\\(.)/gs, '$1'));
  return words;
}
