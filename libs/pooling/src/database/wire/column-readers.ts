import { builtinTextParser, parsesNothing } from '../pg-values.js';

/** Reads one column's text out of the bytes that came, from `start` to before `end`. */
export type ColumnReader = (bytes: Buffer, start: number, end: number) => unknown;

/** Reads the text and parses it: what pg's own reader does with any type. */
type TextParser = (text: string) => unknown;

const ZERO = 0x30;
const MINUS = 0x2d;
const PLUS = 0x2b;
const COLON = 0x3a;
const SPACE = 0x20;
const DOT = 0x2e;
/** Below 10 ** 15 a whole number is exact in every step. */
const EXACT_DIGITS = 15;

function text(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('utf8', start, end);
}

/** Digits as a number; `NaN` when there is anything else. */
function digits(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return value;
}

function integer(parse: TextParser): ColumnReader {
  return (bytes, start, end) => {
    const negative = bytes[start] === MINUS;
    const from = negative ? start + 1 : start;
    const value = end - from <= EXACT_DIGITS && end > from ? digits(bytes, from, end) : NaN;
    if (Number.isNaN(value)) return parse(text(bytes, start, end));
    return negative ? -value : value;
  };
}

function boolean(parse: TextParser): ColumnReader {
  return (bytes, start, end) => {
    if (end - start === 1 && bytes[start] === 0x74) return true;
    if (end - start === 1 && bytes[start] === 0x66) return false;
    return parse(text(bytes, start, end));
  };
}

/** The milliseconds of `.123456`, as pg reads them; `NaN` when it is something else. */
function fraction(bytes: Buffer, start: number, end: number): number {
  const places = end - start - 1;
  if (bytes[start] !== DOT || places < 1 || places > 6) return NaN;
  return 1_000 * (digits(bytes, start + 1, end) / 10 ** places);
}

/** The offset from UTC of `+00`, `-03`, `+05:30`, in milliseconds; `NaN` when it is something else. */
function zoneOffset(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length !== 3 && !(length === 6 && bytes[start + 3] === COLON)) return NaN;
  const hours = digits(bytes, start + 1, start + 3);
  const minutes = length === 6 ? digits(bytes, start + 4, end) : 0;
  return (bytes[start] === MINUS ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

/**
 * `2025-01-31 23:59:59.123456+00` and the like, digit by digit: pg's reader takes two regular expressions and five
 * times as long (research: a third of the time of a page of rows is dates). What looks different is left to that one.
 */
function timestamp(parse: TextParser): ColumnReader {
  return (bytes, start, end) => {
    const year = digits(bytes, start, start + 4);
    const month = digits(bytes, start + 5, start + 7);
    const day = digits(bytes, start + 8, start + 10);
    const hour = digits(bytes, start + 11, start + 13);
    const minute = digits(bytes, start + 14, start + 16);
    const second = digits(bytes, start + 17, start + 19);
    let at = start + 19;
    while (at < end && bytes[at] !== PLUS && bytes[at] !== MINUS) at++;
    const ms = at === start + 19 ? 0 : fraction(bytes, start + 19, at);
    const offset = at === end ? 0 : zoneOffset(bytes, at, end);
    const readable =
      end - start >= 19 &&
      year >= 100 &&
      bytes[start + 4] === MINUS &&
      bytes[start + 7] === MINUS &&
      bytes[start + 10] === SPACE &&
      bytes[start + 13] === COLON &&
      bytes[start + 16] === COLON &&
      !Number.isNaN(month + day + hour + minute + second + ms + offset);
    if (!readable) return parse(text(bytes, start, end));
    if (at === end) return new Date(year, month - 1, day, hour, minute, second, ms);
    return new Date(Date.UTC(year, month - 1, day, hour, minute, second, ms) - offset);
  };
}

/** The types that are read by hand, by their ids in `pg_type`. */
const READERS: ReadonlyMap<number, (parse: TextParser) => ColumnReader> = new Map([
  [16, boolean],
  [21, integer],
  [23, integer],
  [26, integer],
  [1114, timestamp],
  [1184, timestamp],
]);

/**
 * The reader for a type. A parser that the user has set is used; only pg's own parsers are replaced by faster readers.
 *
 * @param parse what `pg` parses the type with on this connection.
 */
export function columnReader(dataTypeId: number, parse: TextParser): ColumnReader {
  const byHand = READERS.get(dataTypeId);
  if (byHand !== undefined && parse === builtinTextParser(dataTypeId)) return byHand(parse);
  if (parsesNothing(parse)) return text;
  return (bytes, start, end) => parse(text(bytes, start, end));
}
