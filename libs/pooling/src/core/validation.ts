import { PoolOptionsError } from './errors.js';

/** The longest delay that Node's timers take, in milliseconds: some 24.8 days. A longer one would fire at once. */
export const LONGEST_DELAY_MS = 2_147_483_647;

/** What one option may be. Rules are data: build them once, next to the options that they describe. */
export interface Rule {
  /** What is allowed, as the message says it: `an integer ≥ 0`. */
  readonly allowed: string;
  /** Everything that is wrong with `value`, each as `path: … is not allowed; …`; empty when it is fine. */
  problems(path: string, value: unknown): string[];
}

/** A rule for each option by name. */
export type Rules<Options extends object = object> = { readonly [Name in keyof Options]-?: Rule };

/**
 * A custom rule: `accepts` decides, and the message names `allowed`. `accepts` must not throw.
 * An option that isn't given (`undefined`) is always fine; see {@link required}.
 */
export function rule(allowed: string, accepts: (value: unknown) => boolean): Rule {
  return {
    allowed,
    problems: (path, value) =>
      value === undefined || accepts(value) ? [] : [refusal(path, showValue(value), allowed)],
  };
}

/** A whole number, by default ≥ 0. */
export function integer({ min = 0, max }: { min?: number; max?: number } = {}): Rule {
  return rule(max === undefined ? `an integer ≥ ${min}` : `an integer from ${min} to ${max}`, (value) => {
    return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= (max ?? Infinity);
  });
}

/** Any finite number in a range, both ends included. */
export function number({ min, max }: { min: number; max: number }): Rule {
  return rule(`a number from ${min} to ${max}`, (value) => {
    return typeof value === 'number' && value >= min && value <= max;
  });
}

/** A time in milliseconds that Node's timers can keep; `zero` says what 0 means where it means something. */
export function durationMs({ min = 0, zero }: { min?: number; zero?: string } = {}): Rule {
  const meaning = zero === undefined ? '' : ` (0: ${zero})`;
  return rule(`milliseconds from ${min} to ${LONGEST_DELAY_MS}${meaning}`, (value) => {
    return typeof value === 'number' && value >= min && value <= LONGEST_DELAY_MS;
  });
}

/** `true` or `false`. */
export function boolean(): Rule {
  return rule('true or false', (value) => typeof value === 'boolean');
}

/** A string, by default not an empty one. */
export function string({ empty = false }: { empty?: boolean } = {}): Rule {
  return rule(empty ? 'a string' : 'a string that is not empty', (value) => {
    return typeof value === 'string' && (empty || value.length > 0);
  });
}

/** A function. */
export function func(): Rule {
  return rule('a function', (value) => typeof value === 'function');
}

/** One of some fixed values. */
export function oneOf(...values: readonly (string | number | boolean)[]): Rule {
  return rule(values.map(showValue).join(' or '), (value) => (values as readonly unknown[]).includes(value));
}

/** An array whose elements all follow one rule. */
export function arrayOf(element: Rule): Rule {
  const allowed = `an array, each element ${element.allowed}`;
  return {
    allowed,
    problems: (path, value) => {
      if (value === undefined) return [];
      if (!Array.isArray(value)) return [refusal(path, showValue(value), allowed)];
      return value.flatMap((item, at) => required(element).problems(`${path}[${at}]`, item));
    },
  };
}

/**
 * An object with these options and no others; a name that it doesn't know is refused, with the name that was probably meant.
 *
 * @param hints - what to do instead, for names that others use and that only look like one of these.
 */
export function object(rules: Readonly<Record<string, Rule>>, hints: Readonly<Record<string, string>> = {}): Rule {
  const names = Object.keys(rules);
  const allowed = `an object with ${names.join(', ')}`;
  return {
    allowed,
    problems: (path, value) => {
      if (value === undefined) return [];
      if (!isPlainObject(value)) return [refusal(path, showValue(value), allowed)];
      const problems: string[] = [];
      for (const name of Object.keys(value)) {
        if (Object.hasOwn(rules, name)) continue;
        problems.push(`${join(path, showName(name))}: no such option; ${remedyFor(name, names, hints)}`);
      }
      for (const name of names) problems.push(...(rules[name] as Rule).problems(join(path, name), value[name]));
      return problems;
    },
  };
}

/** An object with names of the user's own choice (headers, settings) whose values all follow one rule. */
export function recordOf(element: Rule): Rule {
  const allowed = `an object whose values are each ${element.allowed}`;
  return {
    allowed,
    problems: (path, value) => {
      if (value === undefined) return [];
      if (!isPlainObject(value)) return [refusal(path, showValue(value), allowed)];
      return Object.entries(value).flatMap(([name, item]) => element.problems(join(path, name), item));
    },
  };
}

/** Whatever one of the rules accepts: `either(oneOf(false), object({…}))`. */
export function either(...rules: readonly Rule[]): Rule {
  const allowed = rules.map((each) => each.allowed).join(', or ');
  return {
    allowed,
    problems: (path, value) => {
      let nested: string[] | undefined;
      for (const each of rules) {
        const problems = each.problems(path, value);
        if (problems.length === 0) return [];
        // A problem inside the value says more than "none of these".
        if (problems.some((problem) => !problem.startsWith(`${path}: `))) nested ??= problems;
      }
      return nested ?? [refusal(path, showValue(value), allowed)];
    },
  };
}

/** The same rule for a value that must never be shown (a password, a key, a header): the message names its type only. */
export function secret(inner: Rule): Rule {
  return {
    allowed: inner.allowed,
    problems: (path, value) =>
      inner.problems(path, value).length === 0 ? [] : [refusal(path, showType(value), inner.allowed)],
  };
}

/** The same rule for an option that must be given. */
export function required(inner: Rule): Rule {
  return {
    allowed: inner.allowed,
    problems: (path, value) =>
      value === undefined ? [`${path}: missing; ${inner.allowed}`] : inner.problems(path, value),
  };
}

/** Any value: for options that another library checks. */
export function anything(): Rule {
  return rule('anything', () => true);
}

/** Every problem of `options` under `rules`, one sentence each, with the option's path, what was given and what is allowed. */
export function optionProblems(
  rules: Readonly<Record<string, Rule>>,
  options: unknown,
  hints?: Readonly<Record<string, string>>,
): string[] {
  if (!isPlainObject(options)) return [`the options: ${showType(options)} is not allowed; an object`];
  return object(rules, hints).problems('', options);
}

/**
 * Throws one error that lists all problems, or returns when there are none.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`; `details.problems` has them one by one.
 */
export function refuseProblems(pool: string, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const count = problems.length === 1 ? '1 wrong option' : `${problems.length} wrong options`;
  throw new PoolOptionsError(pool, `${pool}: ${count}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`, {
    details: { problems: [...problems] },
  });
}

/** Whether a value is an object that options may come in: not an array, not `null`. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The sentence about a value that isn't allowed. */
export function refusal(path: string, shown: string, allowed: string): string {
  return `${path}: ${shown} is not allowed; ${allowed}`;
}

/** Longer texts aren't shown. */
const LONGEST_SHOWN = 60;
/** A URL, what stands before an `@`, an assignment, a certificate or a key, a line break. */
const LOOKS_LIKE_AN_ADDRESS = /:\/\/|@|=|-----|\p{Cc}/u;
/** A word that looks like a key or token: long, and with digits. */
const LOOKS_LIKE_A_KEY = /(?=[\w+/.~-]*\d)[\w+/.~-]{20,}/;

/**
 * A value as a message shows it: short, and by its kind only where it may hold a secret: objects, long texts, and what
 * looks like a URL, a key or an assignment that was given to the wrong option.
 */
export function showValue(value: unknown): string {
  if (typeof value === 'string') {
    const secretive = value.length > LONGEST_SHOWN || LOOKS_LIKE_AN_ADDRESS.test(value) || LOOKS_LIKE_A_KEY.test(value);
    return secretive ? `a text of ${value.length} characters` : JSON.stringify(value);
  }
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  return showType(value);
}

/** An unknown option name as a message shows it; one that looks like a secret is hidden. */
export function showName(name: string): string {
  return showValue(name) === JSON.stringify(name) ? name : 'a name that is not shown';
}

/** Only the kind of a value, for values that are never shown. */
export function showType(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  return `a ${typeof value}`;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function remedyFor(name: string, names: readonly string[], hints: Readonly<Record<string, string>>): string {
  if (Object.hasOwn(hints, name)) return hints[name] as string;
  const near = nearestName(name, names);
  return near === undefined ? `known: ${names.join(', ')}` : `did you mean ${near}?`;
}

/** Units of time at the end of a name; names that differ only in them are the same. */
const UNIT = /(?:_?(?:in)?_?(?:millis(?:econds)?|seconds|secs?|ms))$/i;

/** A name without case, separators and unit: keepAlive, keep_alive and keepAliveMs become the same. */
function stem(name: string): string {
  return name.replace(UNIT, '').replaceAll(/[_-]/g, '').toLowerCase();
}

/** The known name that a wrong one probably stands for: one that differs by a typing error. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = stem(name);
  const reach = wanted.length < 4 ? 1 : Math.max(2, Math.floor(wanted.length / 5));
  let best: string | undefined;
  let bestDistance = reach + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, stem(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein's distance: https://en.wikipedia.org/wiki/Levenshtein_distance */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let line = 1; line <= from.length; line++) {
    const next = [line];
    for (let column = 1; column <= to.length; column++) {
      const change = from[line - 1] === to[column - 1] ? 0 : 1;
      next.push(
        Math.min((row[column] as number) + 1, (next[column - 1] as number) + 1, (row[column - 1] as number) + change),
      );
    }
    row = next;
  }
  return row[to.length] as number;
}
