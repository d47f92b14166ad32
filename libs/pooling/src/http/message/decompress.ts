import { constants } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { Transform, pipeline, type Readable, type TransformCallback } from 'node:stream';
import { promisify } from 'node:util';
import {
  brotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  gunzip,
  inflate,
  inflateRaw,
  type BrotliOptions,
  type ZlibOptions,
} from 'node:zlib';
import { HttpResponseTooLargeError } from '../../core/errors.js';
import { headerOf } from './answer-headers.js';

/** The codings that are asked for, best first. */
export const ACCEPT_ENCODING = 'gzip, deflate, br';

/** No honest server encodes a body more often than this. */
const MAX_CODINGS = 3;

/** A content coding that can be undone. */
export type ContentCoding = 'gzip' | 'deflate' | 'br';

const CODINGS: ReadonlyMap<string, ContentCoding> = new Map([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
]);

type Decoder = (body: Buffer, options: ZlibOptions & BrotliOptions) => Promise<Buffer>;

const wrapped: Decoder = promisify<Buffer, ZlibOptions, Buffer>(inflate);
const raw: Decoder = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw);

const decoders: Readonly<Record<ContentCoding, Decoder>> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: (body, options) => (isWrapped(body) ? wrapped : raw)(body, options),
  br: promisify<Buffer, BrotliOptions, Buffer>(brotliDecompress),
};

const streams: Readonly<Record<ContentCoding, (start: Buffer) => Transform>> = {
  gzip: () => createGunzip(),
  deflate: (start) => (isWrapped(start) ? createInflate() : createInflateRaw()),
  br: () => createBrotliDecompress(),
};

/** Whether what calls itself deflate begins as RFC 1950 says. Many servers send RFC 1951 instead, which browsers take too. */
function isWrapped(body: Buffer): boolean {
  return ((body[0] ?? 0) & 0x0f) === 0x08;
}

/** The codings of a body in the order in which they are undone; `undefined` when there is nothing to undo, or nobody knows how. */
export function contentCodings(headers: IncomingHttpHeaders): readonly ContentCoding[] | undefined {
  const header = headerOf(headers, 'content-encoding');
  if (header === undefined || header === 'identity') return undefined;
  const names = header.split(',', MAX_CODINGS + 1).map((name) => name.trim().toLowerCase());
  if (names.length > MAX_CODINGS) return undefined;
  const codings: ContentCoding[] = [];
  for (const name of names) {
    const coding = CODINGS.get(name);
    if (coding !== undefined) codings.unshift(coding);
    else if (name !== 'identity' && name !== '') return undefined;
  }
  return codings.length === 0 ? undefined : codings;
}

/**
 * The body with its codings undone; `maxBytes` 0: as large as a buffer may be.
 *
 * @throws HttpResponseTooLargeError `ERR_HTTP_RESPONSE_TOO_LARGE` when it grows past its bound
 */
export async function decodeBody(
  pool: string,
  body: Buffer,
  codings: readonly ContentCoding[],
  maxBytes: number,
): Promise<Buffer> {
  const maxOutputLength = Math.min(maxBytes || Infinity, constants.MAX_LENGTH);
  let decoded = body;
  for (const coding of codings) {
    try {
      decoded = await decoders[coding](decoded, { maxOutputLength });
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE') throw error;
      throw tooLarge(pool, maxOutputLength, error);
    }
  }
  return decoded;
}

/** The body as a stream with its codings undone; destroying either end destroys the other. `maxBytes` 0: no bound. */
export function decodeStream(
  pool: string,
  body: Readable,
  codings: readonly ContentCoding[],
  maxBytes: number,
): Readable {
  const bound = maxBytes > 0 ? [new Bound(pool, maxBytes)] : [];
  const decoded = pipeline([body, ...codings.map((coding) => new StreamDecoder(streams[coding])), ...bound], () => {});
  // As with the body itself: only its reader gets the error.
  decoded.on('error', () => {});
  return decoded as unknown as Readable;
}

/** Undoes one coding. The first bytes decide how; where none come there is nothing to undo. */
class StreamDecoder extends Transform {
  readonly #make: (start: Buffer) => Transform;
  #inner: Transform | undefined = undefined;
  /** The callback of the piece that is being decoded. */
  #taken: TransformCallback | undefined = undefined;

  constructor(make: (start: Buffer) => Transform) {
    super();
    this.#make = make;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#inner ??= this.#begin(chunk);
    // What follows the end of the encoded data is left out, as it is for an answer that is read whole.
    if (this.#inner.readableEnded) return done();
    this.#taken = done;
    this.#inner.write(chunk, () => this.#take());
  }

  override _flush(done: TransformCallback): void {
    if (this.#inner === undefined || this.#inner.readableEnded) return done();
    this.#inner.once('end', () => done());
    this.#inner.end();
  }

  override _read(size: number): void {
    super._read(size);
    this.#inner?.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#inner?.destroy();
    done(error);
  }

  #begin(start: Buffer): Transform {
    const inner = this.#make(start);
    inner.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) inner.pause();
    });
    // zlib doesn't call back for a piece that goes on after the end of the data.
    inner.once('end', () => this.#take());
    inner.on('error', (error) => this.destroy(error));
    return inner;
  }

  #take(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }
}

/** Ends a stream that grows past its bound. */
class Bound extends Transform {
  readonly #pool: string;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(pool: string, maxBytes: number) {
    super();
    this.#pool = pool;
    this.#maxBytes = maxBytes;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) done(tooLarge(this.#pool, this.#maxBytes, undefined));
    else done(null, chunk);
  }
}

function tooLarge(pool: string, maxBytes: number, cause: unknown): HttpResponseTooLargeError {
  return new HttpResponseTooLargeError(pool, `${pool}: a compressed answer grew past ${maxBytes} bytes`, {
    cause,
    details: { maxBytes, compressed: true },
  });
}
