import { PassThrough, Readable } from 'node:stream';

/** A form of the npm package `form-data`, or one with the same methods. */
export interface FormStream {
  pipe(to: NodeJS.WritableStream): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  getHeaders(): Record<string, string>;
  hasKnownLength?(): boolean;
  getLengthSync?(): number;
  destroy?(): void;
}

/** The kind of a body by its own tag: Node's own, npm's undici, polyfills and realms have different classes. */
export function kindOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  return (body as { [Symbol.toStringTag]?: string })[Symbol.toStringTag];
}

/** Whether a body is a form of whichever `FormData` class. */
export function isForm(body: unknown): body is FormData {
  return kindOf(body) === 'FormData' && typeof (body as { entries?: unknown }).entries === 'function';
}

/** Whether a body is a `Blob` or `File` of whichever class. */
export function isBlob(body: unknown): body is Blob {
  const kind = kindOf(body);
  return (kind === 'Blob' || kind === 'File') && typeof (body as { arrayBuffer?: unknown }).arrayBuffer === 'function';
}

/** Whether a body is a form of the package `form-data`. */
export function isFormStream(body: unknown): body is FormStream {
  const { getHeaders, pipe } = (body ?? {}) as { getHeaders?: unknown; pipe?: unknown };
  return typeof getHeaders === 'function' && typeof pipe === 'function';
}

/** Whether a body is a stream of Node's older kind, which nothing can iterate over. */
function isOldStream(body: unknown): body is FormStream {
  if (typeof body !== 'object' || body === null || Symbol.asyncIterator in body) return false;
  return typeof (body as { pipe?: unknown }).pipe === 'function';
}

/** A stream of any kind as a `Readable`. When that is destroyed, so is the given one. */
export function readableOf(stream: FormStream | Readable): Readable {
  if (!isOldStream(stream) && !isFormStream(stream)) return stream as Readable;
  const readable = new PassThrough();
  stream.on('error', (error: Error) => readable.destroy(error));
  readable.once('close', () => stream.destroy?.());
  stream.pipe(readable);
  return readable;
}

/** The headers that go with a form of the package `form-data`. */
export function formStreamHeaders(form: FormStream): { type: string | undefined; length: number | undefined } {
  const headers = Object.entries(form.getHeaders()).find(([name]) => name.toLowerCase() === 'content-type');
  return { type: headers?.[1], length: form.hasKnownLength?.() === true ? form.getLengthSync?.() : undefined };
}

/** A body of another class in Node's own: the built-in `fetch` sends unknown classes as text. */
export async function ownBody(body: unknown): Promise<unknown> {
  if (isForm(body) && !(body instanceof FormData)) return ownForm(body);
  if (isBlob(body) && !(body instanceof Blob)) return ownBlob(body);
  if (kindOf(body) === 'URLSearchParams' && !(body instanceof URLSearchParams))
    return new URLSearchParams(String(body));
  if (isFormStream(body) || isOldStream(body)) return readableOf(body);
  return body;
}

async function ownBlob(blob: Blob): Promise<Blob> {
  return new Blob([await blob.arrayBuffer()], { type: blob.type });
}

async function ownForm(form: FormData): Promise<FormData> {
  const own = new FormData();
  for (const [name, value] of form) {
    if (typeof value === 'string') own.append(name, value);
    else
      own.append(name, value instanceof Blob ? value : await ownBlob(value as Blob), (value as { name: string }).name);
  }
  return own;
}

/** Whether a body is a stream, for which the built-in `fetch` needs `duplex: 'half'`. */
export function isStreamed(body: unknown): boolean {
  if (typeof body !== 'object' || body === null || isForm(body) || isBlob(body)) return false;
  if (kindOf(body) === 'URLSearchParams' || ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return false;
  return Symbol.asyncIterator in body || kindOf(body) === 'ReadableStream';
}
