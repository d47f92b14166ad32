/** What the repository's own programs take on the command line, and how they say so: `--help` of each of them. */
import { parseArgs } from 'node:util';

/** What is wrong with a command line. */
export class UsageError extends Error {}

function optionOf(
  type,
  placeholder,
  text,
  { fallback, shown = fallback === false ? undefined : fallback } = {},
  read = (value) => value,
) {
  return { type, placeholder, text, fallback, shown, read };
}

/** An option that is there or isn't. */
export function flag(text) {
  return optionOf('boolean', undefined, text, { fallback: false });
}

/** An option that takes a text. */
export function text(placeholder, description, defaults) {
  return optionOf('string', placeholder, description, defaults);
}

/** An option that takes a number of at least `least`; whole ones, unless `whole` is false. */
export function number(description, { least = 0, whole = true, ...defaults } = {}) {
  const read = (value, name) => {
    const found = numberOf(value, least, whole);
    if (found === undefined) {
      throw new UsageError(`--${name} takes a ${whole ? 'whole number' : 'number'} of at least ${least}; got ${value}`);
    }
    return found;
  };
  return optionOf('string', 'number', description, defaults, read);
}

/** An option that takes whole numbers above 0 with commas in between. */
export function numbers(description, defaults) {
  const read = (value, name) => {
    const found = value.split(',').map((part) => numberOf(part, 1, true));
    if (found.includes(undefined)) {
      throw new UsageError(`--${name} takes whole numbers above 0 with commas in between; got ${value}`);
    }
    return found;
  };
  return optionOf('string', 'numbers', description, defaults, read);
}

/** The seed of a run, by which it can be had again. */
export function seed() {
  const fallback = Math.floor(Math.random() * 1e9);
  return number('the same run again: each prints its own', { fallback, shown: 'random' });
}

function numberOf(value, least, whole) {
  const found = value.trim() === '' ? NaN : Number(value);
  return Number.isFinite(found) && found >= least && (!whole || Number.isInteger(found)) ? found : undefined;
}

/** What a program prints when it is asked for help. */
export function usageOf({ usage, about, options, names, examples = [] }) {
  const rows = [
    ...Object.entries(options).map(([name, option]) => [labelOf(name, option), describe(option)]),
    ['--help', 'this text'],
  ];
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  const listed = rows.map(([label, description]) => `  ${label.padEnd(width)}${description}`).join('\n');
  const named = names === undefined ? '' : `\n\n${names.text}: ${names.among.join(', ')}`;
  const tried = examples.length === 0 ? '' : `\n\n${examples.map((example) => `  ${example}`).join('\n')}`;
  return `${usage}\n\n${about}\n\n${listed}${named}${tried}\n`;
}

function labelOf(name, { placeholder }) {
  return placeholder === undefined ? `--${name}` : `--${name} <${placeholder}>`;
}

function describe({ text: description, shown }) {
  return shown === undefined ? description : `${description} (${shown})`;
}

/**
 * The options and names of a command line; `undefined`: it asks for help.
 *
 * @throws UsageError that says what is wrong.
 */
export function parseCommandLine({ options, names }, args) {
  const parsed = parsedOf(options, names, args);
  if (parsed.values.help === true) return undefined;
  const unknown = parsed.positionals.filter((name) => !names.among.includes(name));
  if (unknown.length > 0) throw new UsageError(`There is no ${unknown.join(', ')}, but ${names.among.join(', ')}`);
  const values = Object.entries(options).map(([name, { fallback, read }]) => {
    const given = parsed.values[name];
    return [name, given === undefined ? fallback : read(given, name)];
  });
  return { values: Object.fromEntries(values), names: parsed.positionals };
}

function parsedOf(options, names, args) {
  const types = Object.entries(options).map(([name, { type }]) => [name, { type }]);
  const known = { ...Object.fromEntries(types), help: { type: 'boolean', short: 'h' } };
  try {
    return parseArgs({ args, options: known, allowPositionals: names !== undefined });
  } catch (error) {
    if (!String(error.code).startsWith('ERR_PARSE_ARGS')) throw error;
    // What Node adds is how to write a name that begins with a dash.
    throw new UsageError(error.message.split('. ')[0]);
  }
}

/** Reads the command line of this program. Asked for help, it prints that and ends; so it does, with code 2, for a wrong one. */
export function readCommandLine(plan, args = process.argv.slice(2)) {
  try {
    const found = parseCommandLine(plan, args);
    if (found !== undefined) return found;
    process.stdout.write(usageOf(plan));
    process.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${usageOf(plan)}`);
    process.exit(2);
  }
}
