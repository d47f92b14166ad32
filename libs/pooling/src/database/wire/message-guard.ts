import type { Client } from 'pg';
import { activeQueryKind, clearPgWriter, protocolOf, type ProtocolConnection } from '../pg-internals.js';
import { ClientOrder } from './client-order.js';
import { LoginOrder } from './login-order.js';
import { checkForm, longestMessage, SHORTEST_LIMIT } from './message-form.js';
import { ProtocolError } from './protocol-error.js';
import { DATA_ROW, HEADER_BYTES, isUnasked, messageName, READY_FOR_QUERY } from './server-message.js';
import type { InPlaceReader } from '../in-place-socket.js';

/** The first size of the buffer for an incomplete message. It grows with the bytes that come, not with the announced length. */
const FIRST_HELD_BYTES = 1_048_576;

/** What reads the answers to its own queries, past pg: the wire of a connection. */
export interface AnswerReader {
  /** Its queries under way. */
  readonly underway: number;
  /** Takes a message: its type, and where it stands in the bytes. */
  take(type: number, bytes: Buffer, at: number, end: number): void;
  /** Nothing more will come. */
  end(error: Error): void;
}

/** What a guard needs of its connection. */
export interface MessageGuardHost {
  readonly client: Client;
  /** The connection ends, and why. */
  ending(error: Error): void;
}

/**
 * Stands between the socket of a connection and `pg`, from the first byte of the dial on. It cuts what comes into messages,
 * checks the form and the order of each, and passes it to the wire, if it answers one of its queries, or to `pg`. A message
 * that no honest server sends goes no further: it ends the connection, with an error for all that runs on it.
 */
export class MessageGuard implements InPlaceReader {
  /** Takes answers to what was sent past pg and the wire, by their types; returns whether it has taken one. */
  aside: ((type: number) => boolean) | undefined = undefined;
  readonly #host: MessageGuardHost;
  readonly #protocol: ProtocolConnection;
  readonly #order: ClientOrder;
  /** Until the connection is logged in. */
  #login: LoginOrder | undefined = new LoginOrder();
  #wire: AnswerReader | undefined;
  /** How pg gets what is for it. */
  #toPg: ((bytes: Buffer) => void) | undefined;
  /** The beginning of an incomplete message, and its length as far as it is known. */
  #held: Buffer | undefined;
  #heldLength = 0;
  #heldNeeded = 0;
  #over = false;

  constructor(host: MessageGuardHost) {
    this.#host = host;
    this.#protocol = protocolOf(host.client);
    this.#order = new ClientOrder(() => activeQueryKind(host.client));
  }

  /** From now on a wire reads the answers to its queries. */
  serve(wire: AnswerReader): void {
    this.#wire = wire;
  }

  /** What has come from the server; `pass` hands bytes on to `pg`. */
  read(bytes: Buffer, pass: (bytes: Buffer) => void): void {
    this.#toPg = pass;
    this.#read(bytes, pass);
  }

  /** Whether the wire's answers come, which keeps nothing of the bytes. */
  get readsInPlace(): boolean {
    return this.#wire !== undefined && this.#wire.underway > 0;
  }

  readInPlace(bytes: Buffer): void {
    this.#read(bytes, this.#passCopy);
  }

  /** pg's parser keeps parts of what it gets. */
  readonly #passCopy = (bytes: Buffer): void => this.#toPg?.(Buffer.from(bytes));

  #read(bytes: Buffer, pass: (bytes: Buffer) => void): void {
    if (this.#over) return;
    try {
      this.#cut(bytes, pass);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #cut(bytes: Buffer, pass: (bytes: Buffer) => void): void {
    let at = this.#held === undefined ? 0 : this.#complete(bytes, pass);
    // Rows for pg are passed on together.
    let passedTo = at;
    while (at < bytes.length && !this.#over) {
      if (bytes.length - at < HEADER_BYTES) {
        this.#hold(bytes, at, HEADER_BYTES);
        break;
      }
      const type = bytes[at] as number;
      const end = at + this.#lengthOf(type, bytes, at);
      if (end > bytes.length) {
        this.#hold(bytes, at, end - at);
        break;
      }
      if (this.aside !== undefined && !isUnasked(type) && this.aside(type)) {
        at = end;
        passedTo = end;
        continue;
      }
      const wire = this.#wire;
      if (wire !== undefined && wire.underway > 0 && !isUnasked(type)) {
        wire.take(type, bytes, at, end);
        passedTo = end;
      } else {
        this.#check(type, bytes, at, end);
        if (type !== DATA_ROW) {
          this.#pass(type, passedTo === 0 && end === bytes.length ? bytes : bytes.subarray(passedTo, end), pass);
          passedTo = end;
        }
      }
      at = end;
    }
    if (passedTo < at) pass(bytes.subarray(passedTo, at));
  }

  /** The whole length of the message that begins at `at`. */
  #lengthOf(type: number, bytes: Buffer, at: number): number {
    const length = 1 + bytes.readUInt32BE(at + 1);
    // Most are short, and need no look into the table.
    const possible = length <= SHORTEST_LIMIT || length <= longestMessage(type, this.#login === undefined);
    if (length < HEADER_BYTES || !possible) {
      throw new ProtocolError(
        `the server has sent something that is no message of its protocol: ${messageName(type)} of ${length} bytes`,
      );
    }
    return length;
  }

  #check(type: number, bytes: Buffer, start: number, end: number): void {
    checkForm(type, bytes, start, end);
    if (this.#login === undefined) this.#order.check(type, bytes, start, end);
    else this.#login.check(type, bytes, start, end);
  }

  #pass(type: number, bytes: Buffer, pass: (bytes: Buffer) => void): void {
    if (type === READY_FOR_QUERY) this.#login = undefined;
    pass(bytes);
  }

  /** Keeps the beginning of a message of which `needed` bytes are wanted next. */
  #hold(bytes: Buffer, at: number, needed: number): void {
    this.#held = Buffer.allocUnsafeSlow(Math.min(needed, Math.max(FIRST_HELD_BYTES, bytes.length - at)));
    this.#heldLength = bytes.copy(this.#held, 0, at);
    this.#heldNeeded = needed;
  }

  /** Adds to the message that is held; returns how many bytes belonged to it. */
  #complete(bytes: Buffer, pass: (bytes: Buffer) => void): number {
    let at = 0;
    while (this.#held !== undefined && at < bytes.length) {
      const taken = Math.min(bytes.length - at, this.#heldNeeded - this.#heldLength);
      const held = this.#roomFor(this.#heldLength + taken);
      bytes.copy(held, this.#heldLength, at, at + taken);
      at += taken;
      this.#heldLength += taken;
      if (this.#heldLength < this.#heldNeeded) break;
      const whole = held.subarray(0, this.#heldLength);
      this.#held = undefined;
      const length = this.#lengthOf(whole[0] as number, whole, 0);
      if (length > whole.length) this.#hold(whole, 0, length);
      else this.#cut(whole, pass);
    }
    return at;
  }

  #roomFor(length: number): Buffer {
    const held = this.#held as Buffer;
    if (length <= held.length) return held;
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#heldNeeded, Math.max(length, 2 * held.length)));
    held.copy(larger, 0, 0, this.#heldLength);
    this.#held = larger;
    return larger;
  }

  /** Nothing on the connection can be trusted any more. */
  #end(error: Error): void {
    this.#over = true;
    // pg may have been about to send the next query.
    clearPgWriter();
    this.#held = undefined;
    this.#host.ending(error);
    this.#wire?.end(error);
    // pg passes the error on to the dial or the running query, and is told then that the socket is closed.
    this.#protocol.emit('error', error);
    this.#protocol.stream.destroy();
  }
}
