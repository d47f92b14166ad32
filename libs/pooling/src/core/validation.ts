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
 * A rule of one's own: `accepts` decides, `allowed` is what the message offers instead. It must not throw.
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

/** An object with these options and no others; a name that it doesn't know is refused, with the name that was probably meant. */
export function object(rules: Readonly<Record<string, Rule>>): Rule {
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
        const near = nearest(name, names);
        const hint = near === undefined ? `known: ${names.join(', ')}` : `did you mean ${near}?`;
        problems.push(`${join(path, name)}: no such option; ${hint}`);
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
        // What a rule found inside the value says more than that the value isn't one of several things.
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

/** Anything at all: for what is handed on to a library that checks it itself. */
export function anything(): Rule {
  return rule('anything', () => true);
}

/** Every problem of `options` under `rules`, one sentence each, with the option's path, what was given and what is allowed. */
export function optionProblems(rules: Readonly<Record<string, Rule>>, options: unknown): string[] {
  if (!isPlainObject(options)) return [`the options: ${showValue(options)} is not allowed; an object`];
  return object(rules).problems('', options);
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

/** A value as a message shows it: short, and objects by their kind only, because their fields may be secret. */
export function showValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  return showType(value);
}

function showType(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  return `a ${typeof value}`;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/** The known name that a wrong one was probably meant to be. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const reach = Math.max(2, Math.floor(name.length / 3));
  let best: string | undefined;
  let bestDistance = reach + 1;
  for (const candidate of known) {
    const other = candidate.toLowerCase();
    // keepAlive for keepAliveMs, timeout for timeouts: what lacks or has an ending is close at any length.
    const extended = wanted.length >= 3 && (other.startsWith(wanted) || wanted.startsWith(other));
    const distance = extended ? 1 : editDistance(wanted, other);
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
