import { constants } from 'node:buffer';
import { malformed, ProtocolError } from './protocol-error.js';
import {
  AUTHENTICATION,
  BACKEND_KEY,
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  COMMAND_COMPLETE,
  COPY_BOTH,
  COPY_DATA,
  COPY_DONE,
  COPY_IN,
  COPY_OUT,
  DATA_ROW,
  EMPTY_QUERY,
  ERROR,
  HEADER_BYTES,
  messageName,
  NO_DATA,
  NOTICE,
  NOTIFICATION,
  PARAMETER_DESCRIPTION,
  PARAMETER_STATUS,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
} from './server-message.js';

/** PostgreSQL makes no longer message: its own memory ends there. */
const LONGEST_MESSAGE = 0x3fff_ffff;
const MEBIBYTE = 1_048_576;

/**
 * How long a message of each type may be, header included. Rows and copied data may be long, and errors and notices may quote
 * texts of a user's function. Other types are short: libpq, too, refuses more than 30,000 bytes of them.
 */
const LONGEST: ReadonlyMap<number, number> = new Map([
  [DATA_ROW, LONGEST_MESSAGE],
  [COPY_DATA, LONGEST_MESSAGE],
  [ROW_DESCRIPTION, 16 * MEBIBYTE],
  [ERROR, 16 * MEBIBYTE],
  [NOTICE, 16 * MEBIBYTE],
  [NOTIFICATION, MEBIBYTE],
  [PARAMETER_STATUS, MEBIBYTE],
  [PARAMETER_DESCRIPTION, MEBIBYTE],
  [COPY_IN, MEBIBYTE],
  [COPY_OUT, MEBIBYTE],
]);
/** A message of any type may be as long as this. */
export const SHORTEST_LIMIT = 30_000;
/** The limit before the login, when the server hasn't proven who it is. */
const LONGEST_BEFORE_LOGIN = 65_536;

/** Counts are read as signed numbers. */
const MOST_COLUMNS = 0x7fff;
/** After its name: table, column, type, size, modifier, format. */
const FIELD_BYTES = 18;

/** How long a message of a type may be, header included. */
export function longestMessage(type: number, loggedIn: boolean): number {
  return loggedIn ? (LONGEST.get(type) ?? SHORTEST_LIMIT) : LONGEST_BEFORE_LOGIN;
}

/** Two bytes as a number from 0 to 65535. */
export function readCount(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** Where the text that starts at `at` ends, behind its zero byte. */
function afterText(type: number, bytes: Buffer, at: number, end: number): number {
  const zero = at < end ? bytes.indexOf(0, at) : -1;
  if (zero < 0 || zero >= end) throw malformed(type);
  return zero + 1;
}

/**
 * Throws unless the whole message, from its header at `start` to before `end`, is what its type says, to the last byte.
 * pg's parser doesn't check the form: on a wrong one it throws, reads on into the next message, or never ends.
 *
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export function checkForm(type: number, bytes: Buffer, start: number, end: number): void {
  const at = start + HEADER_BYTES;
  const length = end - at;
  let after = end;
  switch (type) {
    case DATA_ROW:
      return checkRow(bytes, at, end);
    case COPY_DATA:
      return;
    case PARSE_COMPLETE:
    case BIND_COMPLETE:
    case CLOSE_COMPLETE:
    case NO_DATA:
    case EMPTY_QUERY:
    case PORTAL_SUSPENDED:
    case COPY_DONE:
      after = at;
      break;
    case READY_FOR_QUERY:
      if (length !== 1 || !isStatus(bytes[at] as number)) throw malformed(type);
      return;
    case COMMAND_COMPLETE:
      after = afterText(type, bytes, at, end);
      break;
    case PARAMETER_STATUS:
      after = afterText(type, bytes, afterText(type, bytes, at, end), end);
      break;
    case NOTIFICATION:
      after = afterText(type, bytes, afterText(type, bytes, at + 4, end), end);
      break;
    case ERROR:
    case NOTICE:
      after = afterFields(type, bytes, at, end);
      break;
    case ROW_DESCRIPTION:
      after = afterColumns(bytes, at, end);
      break;
    case PARAMETER_DESCRIPTION:
      after = length < 2 || readCount(bytes, at) > MOST_COLUMNS ? -1 : at + 2 + 4 * readCount(bytes, at);
      break;
    case COPY_IN:
    case COPY_OUT:
      after = length < 3 || readCount(bytes, at + 1) > MOST_COLUMNS ? -1 : at + 3 + 2 * readCount(bytes, at + 1);
      break;
    case BACKEND_KEY:
      if (length < 8) throw malformed(type);
      return;
    case AUTHENTICATION:
      if (length < 4) throw malformed(type);
      return;
    case COPY_BOTH:
      throw new ProtocolError('the server begins to replicate, which nobody asked for');
    default:
      throw new ProtocolError(`the server has sent something that is no message of its protocol: ${messageName(type)}`);
  }
  if (after !== end) throw malformed(type);
}

function isStatus(byte: number): boolean {
  return byte === 0x49 || byte === 0x54 || byte === 0x45;
}

function checkRow(bytes: Buffer, start: number, end: number): void {
  const columns = end - start < 2 ? -1 : readCount(bytes, start);
  if (columns < 0 || columns > MOST_COLUMNS) throw malformed(DATA_ROW);
  let at = start + 2;
  for (let column = 0; column < columns; column++) {
    if (at + 4 > end) throw malformed(DATA_ROW);
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) continue;
    if (length < 0 || length > end - at) throw malformed(DATA_ROW);
    if (length > constants.MAX_STRING_LENGTH) {
      const longest = constants.MAX_STRING_LENGTH;
      throw new ProtocolError(`a value of ${length} bytes can't be read as a text: a string holds ${longest} at most`);
    }
    at += length;
  }
  if (at !== end) throw malformed(DATA_ROW);
}

/** The fields of an error or a notice, each a letter and a text, and a zero byte behind the last. */
function afterFields(type: number, bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== 0) at = afterText(type, bytes, at + 1, end);
  return at + 1;
}

function afterColumns(bytes: Buffer, start: number, end: number): number {
  const columns = end - start < 2 ? -1 : readCount(bytes, start);
  if (columns < 0 || columns > MOST_COLUMNS) throw malformed(ROW_DESCRIPTION);
  let at = start + 2;
  for (let column = 0; column < columns; column++) at = afterText(ROW_DESCRIPTION, bytes, at, end) + FIELD_BYTES;
  return at;
}

/** Throws when a tag like `SELECT 3`, from `start` to before `end`, tells another number of rows than came. */
export function checkRowCount(bytes: Buffer, start: number, end: number, came: number): void {
  // "SE", and a space behind "SELECT": no other tag tells how many rows were sent.
  if (bytes[start] !== 0x53 || bytes[start + 1] !== 0x45 || bytes[start + 6] !== 0x20) return;
  let told = 0;
  for (let at = start + 7; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return;
    told = told * 10 + digit;
  }
  if (told !== came) throw new ProtocolError(`the server has sent ${came} rows and says that there were ${told}`);
}
