import type { SeededRandom } from '#test/support/random.js';
import type { Alteration } from '#test/support/altering-proxy.js';
import { message, type ServerMessage } from '#test/support/server-messages.js';

/** A change of a message. */
export interface Mutation extends Alteration {
  readonly kind: string;
  /**
   * Whether it changed only what a value, a name, a tag or a status says, or the rows of one answer, which nobody counts
   * where a cursor reads them: no client can know.
   */
  readonly unseen?: boolean;
}

/** Types whose contents are data: a byte that is changed there makes another answer of the same form. */
const DATA = new Set(['D', 'T', 'C', 'Z', 'd']);

/** Messages that a server might send, at a moment when it shouldn't. */
const STRAYS: readonly Buffer[] = [
  message('Z', Buffer.from('I')),
  message('Z', Buffer.from('T')),
  message('1', Buffer.alloc(0)),
  message('2', Buffer.alloc(0)),
  message('3', Buffer.alloc(0)),
  message('n', Buffer.alloc(0)),
  message('s', Buffer.alloc(0)),
  message('I', Buffer.alloc(0)),
  message('c', Buffer.alloc(0)),
  message('C', Buffer.from('SELECT 1\0')),
  message('D', Buffer.from([0, 1, 0, 0, 0, 1, 0x31])),
  message('D', Buffer.from([0, 2, 0, 0, 0, 1, 0x31])),
  message('D', Buffer.from([0xff, 0xff])),
  message('T', Buffer.concat([Buffer.from([0, 1, 0x78, 0]), Buffer.alloc(18)])),
  message('T', Buffer.from([0x7f, 0xff, 0x78])),
  message('t', Buffer.from([0xff, 0xff])),
  message('G', Buffer.from([0, 0xff, 0xff])),
  message('H', Buffer.from([0, 0, 1, 0, 0])),
  message('W', Buffer.from([0, 0, 0])),
  message('d', Buffer.from('data')),
  message('V', Buffer.from([0xff, 0xff, 0xff, 0xff])),
  message('v', Buffer.from([0, 3, 0, 0, 0, 0, 0, 0])),
  message('K', Buffer.from([0, 0, 0, 1, 0, 0, 0, 2])),
  message('R', Buffer.from([0, 0, 0, 0])),
  message('R', Buffer.from([0, 0, 0, 7])),
  message('R', Buffer.from([0, 0, 0, 10])),
  message('R', Buffer.from([0, 0])),
  message('S', Buffer.from('name')),
  message('A', Buffer.from([0, 0, 0, 1, 0x78])),
  message('N', Buffer.from('SNOTICE\0Mno end\0')),
  message('E', Buffer.from('SERROR\0Mno end\0')),
  message('E', Buffer.from('SERROR\0C22012\0Mstray\0\0')),
  message('E', Buffer.from('SFATAL\0C57P01\0Mstray\0\0')),
  message('E', Buffer.from('S')),
  message('!', Buffer.from('?')),
  Buffer.from([0x44, 0, 0, 0, 3]),
  Buffer.from([0x5a, 0xff, 0xff, 0xff, 0xff]),
  Buffer.from([0x45, 0x7f, 0xff, 0xff, 0xff]),
];

/** Changes a server's messages at random: order, lengths, bytes, pauses. */
export class Mutator {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  mutate({ type, bytes }: ServerMessage): Mutation {
    return this.#random.pick<() => Mutation>([
      [6, () => ({ kind: 'duplicated', send: [bytes, bytes], unseen: type === 'D' })],
      [6, () => ({ kind: 'dropped', send: [], unseen: type === 'D' })],
      [6, () => ({ kind: 'swapped', send: [], later: bytes, unseen: type === 'D' })],
      [8, () => this.#stray(bytes)],
      [5, () => this.#length(bytes)],
      [3, () => this.#innerLength(type, bytes)],
      [6, () => this.#bytes(type, bytes)],
      [3, () => this.#type(bytes)],
      [3, () => this.#truncated(bytes)],
      [3, () => this.#inserted(bytes)],
      [2, () => ({ kind: 'cut', send: [bytes.subarray(0, this.#below(bytes.length))], cut: true })],
      [4, () => ({ kind: 'paused', send: [bytes], pauseMs: this.#random.between(1, 40) })],
      [1, () => ({ kind: 'silent', send: [], pauseMs: Infinity })],
    ])();
  }

  /** 0 ≤ integer < limit. */
  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  #stray(bytes: Buffer): Mutation {
    const stray = STRAYS[this.#below(STRAYS.length)] as Buffer;
    return { kind: 'stray', send: this.#random.next() < 0.5 ? [stray, bytes] : [bytes, stray] };
  }

  #length(bytes: Buffer): Mutation {
    const changed = Buffer.from(bytes);
    const length = changed.readInt32BE(1);
    const others = [length - 1, length + 1, 0, 3, -1, -2_147_483_648, 0x7fff_ffff, 0x3fff_ffff, length + 65_536];
    changed.writeInt32BE(others[this.#below(others.length)] as number, 1);
    return { kind: 'length', send: [changed] };
  }

  /** A length or count somewhere in the message, where there is one. */
  #innerLength(type: string, bytes: Buffer): Mutation {
    if (bytes.length < 11) return this.#length(bytes);
    const changed = Buffer.from(bytes);
    if (this.#random.next() < 0.5) changed.writeInt16BE([-1, 0, 1, 2, 3, 0x7fff][this.#below(6)] as number, 5);
    else changed.writeInt32BE([-2, -1, 0, 1, 5, 0x7fff_ffff, -2_147_483_648][this.#below(7)] as number, 7);
    return { kind: 'inner length', send: [changed], unseen: type !== 'D' && DATA.has(type) };
  }

  #bytes(type: string, bytes: Buffer): Mutation {
    if (bytes.length === 5) return this.#type(bytes);
    const changed = Buffer.from(bytes);
    for (let count = this.#random.between(1, 3); count > 0; count--) {
      changed[5 + this.#below(changed.length - 5)] = this.#below(256);
    }
    return { kind: 'bytes', send: [changed], unseen: DATA.has(type) };
  }

  #type(bytes: Buffer): Mutation {
    const changed = Buffer.from(bytes);
    const types = '123ACDEGHIKNRSTVWZcdnstv!\0';
    changed[0] = types.charCodeAt(this.#below(types.length));
    return { kind: 'type', send: [changed] };
  }

  #truncated(bytes: Buffer): Mutation {
    return { kind: 'truncated', send: [bytes.subarray(0, this.#below(bytes.length))] };
  }

  #inserted(bytes: Buffer): Mutation {
    const at = this.#below(bytes.length + 1);
    const extra = Buffer.from(Array.from({ length: this.#random.between(1, 9) }, () => this.#below(256)));
    return { kind: 'inserted', send: [bytes.subarray(0, at), extra, bytes.subarray(at)] };
  }
}
