/** A parameter as it is sent: text, bytes, or null. */
export type WireValue = string | Buffer | null;

const INITIAL_BYTES = 16_384;
/** Texts up to this length are written by hand when they are ASCII: the call into Node costs more than the loop. */
const SHORT_TEXT = 40;
/** For longer texts the bytes are counted first; shorter ones get room for three bytes a character. */
const LONG_TEXT = 65_536;

/** `Execute` of the unnamed portal for all rows, and `Sync`. */
const EXECUTE_AND_SYNC = Buffer.from([0x45, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0x53, 0, 0, 0, 4]);
const EXECUTE = EXECUTE_AND_SYNC.subarray(0, 10);
const SYNC = EXECUTE_AND_SYNC.subarray(10);
/** `Describe` of the unnamed portal. */
const DESCRIBE_PORTAL = Buffer.from([0x44, 0, 0, 0, 6, 0x50, 0]);

/**
 * Writes the frontend messages of any number of queries one after another, so that they leave in one piece: pg makes a
 * buffer for each message and a vector of them for each query.
 *
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export class MessageWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;
  #mark = 0;

  /** `Parse`: prepares a text under a name. */
  parse(name: Buffer, text: string): void {
    const start = this.#begin(0x50);
    this.#bytes(name);
    this.#text0(text);
    // No types of parameters: the server works them out.
    this.#int16(0);
    this.#end(start);
  }

  /** `Bind`: parameters for a prepared statement, in the unnamed portal; the results come as text. */
  bind(name: Buffer, values: readonly WireValue[]): void {
    const start = this.#begin(0x42);
    const count = values.length;
    const binary = values.some((value) => typeof value === 'object' && value !== null);
    this.#reserve(1 + name.length + 4 + (binary ? 2 * count : 0) + 2);
    this.#buffer[this.#length++] = 0;
    this.#bytes(name);
    if (binary) {
      this.#int16(count);
      for (const value of values) this.#int16(typeof value === 'object' && value !== null ? 1 : 0);
    } else {
      this.#int16(0);
    }
    this.#int16(count);
    for (let index = 0; index < count; index++) this.#value(values[index] as WireValue);
    this.#int16(0);
    this.#end(start);
  }

  /** `Describe`: what the rows of the portal look like. */
  describePortal(): void {
    this.#bytes(DESCRIBE_PORTAL);
  }

  /** `Execute` and `Sync`. */
  executeAndSync(): void {
    this.#bytes(EXECUTE_AND_SYNC);
  }

  /** `Execute` alone: what follows belongs to the same unit. */
  execute(): void {
    this.#bytes(EXECUTE);
  }

  /** `Query`: a text in the simple protocol. */
  query(text: string): void {
    const start = this.#begin(0x51);
    this.#text0(text);
    this.#end(start);
  }

  /** `Sync` alone. */
  sync(): void {
    this.#bytes(SYNC);
  }

  /** `Close`: forgets a prepared statement. */
  close(name: Buffer): void {
    const start = this.#begin(0x43);
    this.#reserve(1);
    this.#buffer[this.#length++] = 0x53;
    this.#bytes(name);
    this.#end(start);
  }

  /** `CopyFail`, and the `Sync` that ends the failed query. */
  copyFailAndSync(reason: string): void {
    const start = this.#begin(0x66);
    this.#bytes(Buffer.from(`${reason}\0`));
    this.#end(start);
    this.sync();
  }

  /** Remembers the present end: see {@link cutToMark}. */
  mark(): void {
    this.#mark = this.#length;
  }

  /** Takes back what was written since the mark: messages that could not be finished. */
  cutToMark(): void {
    this.#length = this.#mark;
  }

  /** All that was written since the last time, as a buffer of its own. */
  take(): Buffer {
    const length = this.#length;
    const buffer = this.#buffer;
    this.#length = 0;
    this.#mark = 0;
    // After a parameter of many megabytes: neither keep so large a buffer, nor copy it.
    if (buffer.length > 16 * INITIAL_BYTES) {
      this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES);
      return buffer.subarray(0, length);
    }
    const taken = Buffer.allocUnsafe(length);
    buffer.copy(taken, 0, 0, length);
    return taken;
  }

  #value(value: WireValue): void {
    if (value === null) {
      this.#reserve(6);
      this.#length = this.#buffer.writeInt32BE(-1, this.#length);
    } else if (typeof value === 'string') {
      this.#text(value);
    } else {
      this.#reserve(6 + value.length);
      this.#length = this.#buffer.writeInt32BE(value.length, this.#length);
      this.#bytes(value);
    }
  }

  /** A text and the byte that ends it. */
  #text0(text: string): void {
    this.#reserve(mostBytes(text) + 1);
    this.#length += this.#buffer.write(text, this.#length, 'utf8');
    this.#buffer[this.#length++] = 0;
  }

  #text(text: string): void {
    this.#reserve(6 + mostBytes(text));
    const buffer = this.#buffer;
    const start = this.#length + 4;
    let at = start;
    if (text.length <= SHORT_TEXT) {
      while (at - start < text.length) {
        const code = text.charCodeAt(at - start);
        if (code >= 0x80) break;
        buffer[at++] = code;
      }
    }
    if (at - start !== text.length) at = start + buffer.write(text, start, 'utf8');
    buffer.writeInt32BE(at - start, this.#length);
    this.#length = at;
  }

  #begin(type: number): number {
    this.#reserve(5);
    const start = this.#length;
    this.#buffer[start] = type;
    this.#length += 5;
    return start;
  }

  #end(start: number): void {
    this.#buffer.writeInt32BE(this.#length - start - 1, start + 1);
  }

  #int16(value: number): void {
    this.#reserve(2);
    this.#buffer[this.#length++] = value >> 8;
    this.#buffer[this.#length++] = value & 0xff;
  }

  #bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** How many bytes a text takes at most; of a long one, how many it takes. */
function mostBytes(text: string): number {
  return text.length <= LONG_TEXT ? 3 * text.length : Buffer.byteLength(text);
}
