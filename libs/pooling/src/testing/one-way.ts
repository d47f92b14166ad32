import type { Socket } from 'node:net';
import { systemClock, type Timer } from '../core/clock.js';

const HIGH_WATER_BYTES = 1_048_576;

/** What is done to the bytes that travel one way. */
export interface OneWayShape {
  readonly delayMs: number;
  readonly bytesPerSecond: number;
  readonly swallows: boolean;
}

interface Piece {
  readonly bytes: Buffer | undefined;
  readonly arrivedAt: number;
}

/** The bytes of a connection in one direction: late, slow or lost as its shape says, and always in order. */
export class OneWay {
  readonly #queue: Piece[] = [];
  readonly #count: (length: number) => void;
  readonly #watches = new Set<(bytes: Buffer) => Buffer | undefined>();
  #from: Socket | undefined;
  #to: Socket | undefined;
  #shape: OneWayShape = { delayMs: 0, bytesPerSecond: Infinity, swallows: false };
  #queuedBytes = 0;
  #freeAt = 0;
  #timer: Timer | undefined;
  #blocked = false;
  #stopped = false;
  #afterwards: (() => void) | undefined;

  constructor(count: (length: number) => void) {
    this.#count = count;
  }

  readFrom(socket: Socket): void {
    this.#from = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('end', () => this.#push(undefined));
  }

  writeTo(socket: Socket): void {
    this.#to = socket;
    socket.on('drain', () => {
      this.#blocked = false;
      this.#move();
    });
    this.#move();
  }

  shape(shape: OneWayShape): void {
    this.#shape = shape;
    this.#freeAt = 0;
    this.#move();
  }

  /**
   * Calls `found` when `pattern` is about to pass. If that returns true the way has been cut: with `deliver` the bytes
   * up to the pattern's end have passed first.
   */
  watch(pattern: Buffer, deliver: boolean, found: () => boolean): void {
    let tail = Buffer.alloc(0);
    const look = (bytes: Buffer): Buffer | undefined => {
      const window = Buffer.concat([tail, bytes]);
      const at = window.indexOf(pattern);
      if (at === -1) {
        tail = window.subarray(Math.max(0, window.length - pattern.length + 1));
        return bytes;
      }
      this.#watches.delete(look);
      const end = at + pattern.length - tail.length;
      if (deliver) this.#write(bytes.subarray(0, end));
      if (found()) return undefined;
      return deliver ? bytes.subarray(end) : bytes;
    };
    this.#watches.add(look);
  }

  /** Nothing passes any more. */
  stop(): void {
    this.#stopped = true;
    this.#queue.length = 0;
    if (this.#timer !== undefined) systemClock.clearTimeout(this.#timer);
  }

  /** Calls `action` when everything that was sent has passed. */
  finish(action: () => void): void {
    if (this.#stopped || this.#queue.length === 0) action();
    else this.#afterwards = action;
  }

  /** The receiver is gone: what still comes is read and dropped. */
  drain(): void {
    this.#blocked = false;
    this.#move();
  }

  #take(bytes: Buffer): void {
    if (this.#stopped) return;
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > HIGH_WATER_BYTES) this.#from?.pause();
    this.#push(bytes);
  }

  #push(bytes: Buffer | undefined): void {
    if (this.#stopped) return;
    this.#queue.push({ bytes, arrivedAt: systemClock.now() });
    this.#move();
  }

  #move(): void {
    if (this.#timer !== undefined) systemClock.clearTimeout(this.#timer);
    this.#timer = undefined;
    while (!this.#stopped && !this.#blocked) {
      const piece = this.#queue[0];
      if (piece === undefined || (this.#to === undefined && !this.#shape.swallows)) break;
      const dueAt = Math.max(piece.arrivedAt + this.#shape.delayMs, this.#freeAt);
      const now = systemClock.now();
      if (dueAt > now) {
        this.#timer = systemClock.setTimeout(() => this.#move(), dueAt - now);
        return;
      }
      this.#queue.shift();
      this.#pass(piece.bytes);
    }
    if (this.#queue.length === 0) {
      this.#afterwards?.();
      this.#afterwards = undefined;
    }
  }

  #pass(bytes: Buffer | undefined): void {
    if (bytes === undefined) {
      if (!this.#shape.swallows) this.#to?.end();
      return;
    }
    const wasFull = this.#queuedBytes > HIGH_WATER_BYTES;
    const slice = this.#slice(bytes);
    this.#queuedBytes -= slice.length;
    if (wasFull && this.#queuedBytes <= HIGH_WATER_BYTES) this.#from?.resume();
    if (this.#shape.swallows) return;
    let rest: Buffer | undefined = slice;
    for (const look of this.#watches) rest = rest && look(rest);
    if (rest !== undefined && !this.#stopped) this.#write(rest);
  }

  /** What a throttled direction carries in a fiftieth of a second; the rest goes back to the head of the queue. */
  #slice(bytes: Buffer): Buffer {
    if (this.#shape.bytesPerSecond === Infinity) return bytes;
    const length = Math.min(bytes.length, Math.max(1, Math.floor(this.#shape.bytesPerSecond / 50)));
    if (length < bytes.length) this.#queue.unshift({ bytes: bytes.subarray(length), arrivedAt: 0 });
    this.#freeAt = systemClock.now() + (length / this.#shape.bytesPerSecond) * 1_000;
    return bytes.subarray(0, length);
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0 || this.#to === undefined || this.#to.writableEnded || this.#to.destroyed) return;
    this.#count(bytes.length);
    if (!this.#to.write(bytes)) this.#blocked = true;
  }
}
