import type { Submittable } from 'pg';
import { pg } from '../pg.js';
import { textHolderOf, type QueryText } from './query-forms.js';

/** Appends a comment to a text, on a new line where the text may end in a `--` comment. */
export function withComment(text: string, comment: string): string {
  if (comment === '' || text === '') return text;
  return `${text}${text.includes('--') ? '\n' : ' '}${comment}`;
}

/** Appends it to a query in any form. The result inherits from the query, because its text may be a getter. */
export function commented(config: QueryText, comment: string): QueryText {
  if (comment === '') return config;
  if (typeof config === 'string') return withComment(config, comment);
  if (typeof config.text !== 'string') return config;
  const text = { value: withComment(config.text, comment), enumerable: true, configurable: true, writable: true };
  return Object.create(config, { text }) as QueryText;
}

/**
 * Lets a cursor, a stream or a `COPY` send its text with a comment. What it shows of itself at other times stays as it is.
 * One that keeps its text to itself is sent without.
 */
export function commentSubmission(submittable: Submittable, comment: string): void {
  const holder = textHolderOf(submittable) as Submittable & { text?: unknown };
  const { text } = holder;
  if (comment === '' || typeof text !== 'string') return;
  const sent = { value: withComment(text, comment), configurable: true, enumerable: true, writable: true };
  // pg's own looks at its text again with the answer, where it is prepared under a name.
  if (submittable instanceof pg.Query) return void Reflect.defineProperty(holder, 'text', sent);
  const { submit } = submittable;
  const submitWithComment = (connection: never): unknown => {
    const own = Reflect.getOwnPropertyDescriptor(holder, 'text');
    const commented = Reflect.defineProperty(holder, 'text', sent);
    try {
      return submit.call(submittable, connection) as unknown;
    } finally {
      if (commented && own === undefined) Reflect.deleteProperty(holder, 'text');
      else if (commented && own !== undefined) Reflect.defineProperty(holder, 'text', own);
    }
  };
  Reflect.defineProperty(submittable, 'submit', {
    configurable: true,
    writable: true,
    enumerable: false,
    value: submitWithComment,
  });
}
