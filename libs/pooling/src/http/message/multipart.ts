import { randomUUID } from 'node:crypto';

/** A form, encoded. */
export interface Multipart {
  /** Of a known length, and can be sent again. */
  readonly body: Blob;
  readonly contentType: string;
}

/**
 * A form as `multipart/form-data`, in the way of the HTML standard ("multipart/form-data encoding algorithm"). undici
 * takes its own `FormData` only, not the one that Node brings along.
 */
export function encodeMultipart(form: FormData): Multipart {
  const boundary = `----pooling-${randomUUID()}`;
  const parts: (string | Blob)[] = [];
  for (const [name, value] of form) {
    const field = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(name)}"`;
    if (typeof value === 'string') {
      parts.push(`${field}\r\n\r\n${value.replace(/\r?\n|\r/g, '\r\n')}\r\n`);
    } else {
      const type = value.type || 'application/octet-stream';
      parts.push(`${field}; filename="${escaped(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`, value, '\r\n');
    }
  }
  parts.push(`--${boundary}--\r\n`);
  return { body: new Blob(parts), contentType: `multipart/form-data; boundary=${boundary}` };
}

function escaped(name: string): string {
  return name
    .replace(/\r?\n|\r/g, '\r\n')
    .replace(/\n/g, '%0A')
    .replace(/\r/g, '%0D')
    .replace(/"/g, '%22');
}
