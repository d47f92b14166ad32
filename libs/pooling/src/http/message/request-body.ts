import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';

type Body = Dispatcher.DispatchOptions['body'];

/**
 * The body of a request, owned from the moment it is handed over. Its error rejects the request, and never ends the process. It
 * is destroyed when the request is done with it, whatever the outcome.
 */
export class RequestBody {
  /** The present body, if it is a stream. */
  #stream: Readable | undefined = undefined;
  readonly #lent: boolean;
  readonly #failed: (error: unknown) => void;

  /**
   * `failed` gets an error of the owned body. A `lent` body is not destroyed as long as nothing was read of it: the
   * caller may send it again.
   */
  constructor(lent: boolean, failed: (error: unknown) => void) {
    this.#lent = lent;
    this.#failed = failed;
  }

  /** Whether there is more to be read of it. */
  get unread(): boolean {
    const stream = this.#stream;
    return stream !== undefined && !stream.readableEnded && !stream.destroyed;
  }

  /** Takes a body over, in place of the one before, and returns it in the form that can be owned. */
  own(body: Body): Body {
    const stream = ownable(body);
    if (stream === undefined || stream === this.#stream) return body;
    this.release();
    this.#stream = stream;
    // The listener stays: a late error must not end the process either.
    stream.on('error', (error: unknown) => {
      if (this.#stream === stream) this.#failed(error);
    });
    if (stream.errored) queueMicrotask(() => this.#stream === stream && this.#failed(stream.errored));
    return stream;
  }

  /** Nothing more is needed of the body: what it holds is freed. */
  release(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined || stream.destroyed || (this.#lent && !stream.readableDidRead)) return;
    destroyBody(stream);
  }
}

/** Ends a body that will not be sent. */
export function dropBody(body: unknown): void {
  if (isStream(body)) {
    body.on('error', () => {});
    destroyBody(body);
  } else if (body instanceof ReadableStream && !body.locked) {
    body.cancel().catch(() => {});
  }
}

/**
 * An owned body as an iterable, which undici writes in another way than a stream. It ends where the stream does: by then the
 * stream's error was heard, and the request given up.
 */
export async function* iterableOf(stream: Readable): AsyncGenerator<Uint8Array, void> {
  try {
    // When undici reads no more it says why; the stream's own `AbortError` would get ahead of that.
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array;
  } catch (error) {
    if (!stream.destroyed) throw error;
  }
}

/** Whether a body is a stream that can be iterated. */
export function isIterableStream(body: unknown): body is Readable {
  return isStream(body) && typeof (body as { iterator?: unknown }).iterator === 'function';
}

/** Whether something is a stream of Node's, of this or of another version of it. */
export function isStream(body: unknown): body is Readable {
  if (typeof body !== 'object' || body === null) return false;
  const { pipe, on } = body as { pipe?: unknown; on?: unknown };
  return typeof pipe === 'function' && typeof on === 'function';
}

function destroyBody(stream: Readable): void {
  // Old streams (`form-data`'s among them) may know no `destroy`.
  (stream as { destroy?: () => void }).destroy?.();
}

/** The stream that a body is or becomes; `undefined` for one that can't fail before it is sent. */
function ownable(body: unknown): Readable | undefined {
  if (typeof body !== 'object' || body === null || body instanceof Uint8Array) return undefined;
  if (isStream(body)) return body;
  const tag = (body as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
  if (tag === 'FormData' || tag === 'Blob' || tag === 'File' || ArrayBuffer.isView(body)) return undefined;
  const iterable = Symbol.asyncIterator in body || Symbol.iterator in body;
  return iterable ? Readable.from(body as Iterable<Uint8Array>, { objectMode: false }) : undefined;
}
