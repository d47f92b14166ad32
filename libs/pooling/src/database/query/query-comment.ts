import type { QueryText } from './query-forms.js';

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
