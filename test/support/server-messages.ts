/** A message of a PostgreSQL server, header and all. */
export interface ServerMessage {
  /** Its type's letter. */
  readonly type: string;
  readonly bytes: Buffer;
}

const HEADER_BYTES = 5;

/** Cuts a server's bytes into messages, however they arrive. */
export class MessageCutter {
  #rest = Buffer.alloc(0);

  /** The messages that are complete with these bytes. */
  cut(bytes: Buffer): ServerMessage[] {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const messages: ServerMessage[] = [];
    let at = 0;
    while (all.length - at >= HEADER_BYTES) {
      const end = at + 1 + all.readUInt32BE(at + 1);
      if (end > all.length) break;
      messages.push({ type: String.fromCharCode(all[at] as number), bytes: all.subarray(at, end) });
      at = end;
    }
    this.#rest = Buffer.from(all.subarray(at));
    return messages;
  }
}

/** A message with its header. */
export function message(type: string, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(type, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}
