import type { Submittable } from 'pg';
import { prepareValue } from '../pg-values.js';
import { pg } from '../pg.js';
import type { WireValue } from '../wire/message-writer.js';

/** The protocol counts a query's parameters in two bytes. */
const MOST_PARAMETERS = 65_535;
/** PostgreSQL takes no longer message, and ends the connection that sends one. */
const LONGEST_MESSAGE = 0x3fff_fffe;
/** Room for names, counts and lengths around the values of a message, in bytes. */
const MESSAGE_MARGIN = 1_024;

/**
 * The values of a query as they are sent. Values that can't be sent are refused here, before anything is written: all connections
 * share the writer of messages, and half a message in it would be answered by the server.
 *
 * @throws what a value's own conversion throws; `TypeError` for a value that becomes no text; `RangeError` for too many
 * parameters or too long a query.
 */
export function serialiseQuery(text: string, values: readonly unknown[]): WireValue[] {
  checkParameterCount(values.length);
  const sent: WireValue[] = [];
  let most = 0;
  for (let index = 0; index < values.length; index++) {
    const value = prepareValue(values[index]);
    if (value !== null) {
      if (typeof value !== 'string' && !Buffer.isBuffer(value)) {
        throw new TypeError(`parameter ${index + 1} can't be sent: it gives a ${typeof value} instead of a text`);
      }
      most += 3 * value.length;
    }
    sent.push(value);
  }
  most += 8 * sent.length;
  if (most > LONGEST_MESSAGE - MESSAGE_MARGIN) checkBytes('parameters', bytesOf(sent));
  checkText(text);
  return sent;
}

/**
 * Checks the values of a query object, as far as it shows them: pg's own classes convert them when half of the message is
 * written.
 */
export function prepareSubmission(submittable: Submittable): void {
  const query = submittable as { text?: unknown; values?: unknown };
  if (!Array.isArray(query.values)) return;
  if (!(submittable instanceof pg.Query)) return checkParameterCount(query.values.length);
  query.values = serialiseQuery(typeof query.text === 'string' ? query.text : '', query.values);
}

/** @throws RangeError when a query has more parameters than the protocol can count. */
function checkParameterCount(count: number): void {
  if (count <= MOST_PARAMETERS) return;
  throw new RangeError(
    `a query takes ${MOST_PARAMETERS} parameters at most, and this one has ${count}: it was not sent`,
  );
}

/** @throws RangeError when a text is longer than a message may be. */
function checkText(text: string): void {
  if (3 * text.length > LONGEST_MESSAGE - MESSAGE_MARGIN) checkBytes('text', Buffer.byteLength(text));
}

function bytesOf(values: readonly WireValue[]): number {
  let bytes = 8 * values.length;
  for (const value of values) {
    if (value !== null) bytes += typeof value === 'string' ? Buffer.byteLength(value) : value.length;
  }
  return bytes;
}

function checkBytes(what: string, bytes: number): void {
  const longest = LONGEST_MESSAGE - MESSAGE_MARGIN;
  if (bytes <= longest) return;
  throw new RangeError(`the ${what} of a query take ${longest} bytes at most, and these ${bytes}: it was not sent`);
}
