import type { IncomingHttpHeaders } from 'node:http';
import { Transform, pipeline, type Readable, type TransformCallback } from 'node:stream';
import { promisify } from 'node:util';
import {
  brotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  gunzip,
  inflate,
  type BrotliOptions,
  type ZlibOptions,
} from 'node:zlib';
import { HttpResponseTooLargeError } from '../core/errors.js';

/** What is asked for, best first. */
export const ACCEPT_ENCODING = 'gzip, deflate, br';

/** Without `maxResponseBytes`, a body may always grow to this many bytes … */
const FREE_BYTES = 16 * 1024 * 1024;
/** … and beyond that to this multiple of what came over the wire: real text stays far below, a bomb doesn't. */
const FREE_RATIO = 100;
/** No honest server encodes a body more often than this. */
const MAX_CODINGS = 3;

/** A content coding that can be undone. */
export type ContentCoding = 'gzip' | 'deflate' | 'br';

const CODINGS: Readonly<Record<string, ContentCoding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
};

const decoders: Readonly<
  Record<ContentCoding, (body: Buffer, options: ZlibOptions & BrotliOptions) => Promise<Buffer>>
> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<Buffer, ZlibOptions, Buffer>(inflate),
  br: promisify<Buffer, BrotliOptions, Buffer>(brotliDecompress),
};

const streams: Readonly<Record<ContentCoding, () => Transform>> = {
  gzip: () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
};

/** The codings of a body in the order in which they are undone; `undefined` when there is nothing to undo, or nobody knows how. */
export function contentCodings(headers: IncomingHttpHeaders): readonly ContentCoding[] | undefined {
  const header = headers['content-encoding'];
  if (header === undefined || header === 'identity') return undefined;
  const names = header.split(',').map((name) => name.trim().toLowerCase());
  if (names.length > MAX_CODINGS) return undefined;
  const codings: ContentCoding[] = [];
  for (const name of names) {
    const coding = CODINGS[name];
    if (coding === undefined && name !== 'identity') return undefined;
    if (coding !== undefined) codings.unshift(coding);
  }
  return codings.length === 0 ? undefined : codings;
}

/**
 * The body with its codings undone.
 *
 * @throws HttpResponseTooLargeError `ERR_HTTP_RESPONSE_TOO_LARGE` when it grows past its bound
 */
export async function decodeBody(
  pool: string,
  body: Buffer,
  codings: readonly ContentCoding[],
  maxResponseBytes: number,
): Promise<Buffer> {
  const maxOutputLength = maxResponseBytes > 0 ? maxResponseBytes : Math.max(FREE_BYTES, FREE_RATIO * body.length);
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

/** The body as a stream with its codings undone; destroying either end destroys the other. */
export function decodeStream(
  pool: string,
  body: Readable,
  codings: readonly ContentCoding[],
  maxResponseBytes: number,
): Readable {
  const arrived = new ByteCounter();
  const bound = new Bound(pool, arrived, maxResponseBytes);
  const decoded = pipeline([body, arrived, ...codings.map((coding) => streams[coding]()), bound], () => {});
  // As with the body itself: whoever reads it hears of the error, nobody else must.
  decoded.on('error', () => {});
  return decoded as unknown as Readable;
}

class ByteCounter extends Transform {
  bytes = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    done(null, chunk);
  }
}

class Bound extends ByteCounter {
  readonly #pool: string;
  readonly #arrived: ByteCounter;
  readonly #maxBytes: number;

  constructor(pool: string, arrived: ByteCounter, maxBytes: number) {
    super();
    this.#pool = pool;
    this.#arrived = arrived;
    this.#maxBytes = maxBytes;
  }

  override _transform(chunk: Buffer, encoding: BufferEncoding, done: TransformCallback): void {
    const max = this.#maxBytes > 0 ? this.#maxBytes : Math.max(FREE_BYTES, FREE_RATIO * this.#arrived.bytes);
    if (this.bytes + chunk.length > max) return done(tooLarge(this.#pool, max, undefined));
    super._transform(chunk, encoding, done);
  }
}

function tooLarge(pool: string, maxBytes: number, cause: unknown): HttpResponseTooLargeError {
  return new HttpResponseTooLargeError(pool, `${pool}: a compressed answer grew past ${maxBytes} bytes`, {
    cause,
    details: { maxBytes, compressed: true },
  });
}
