import type { QueryText } from './query-forms.js';

/** A text with a comment behind it; a line's comment at its end would swallow it. */
export function withComment(text: string, comment: string): string {
  if (comment === '' || text === '') return text;
  return `${text}${text.includes('--') ? '\n' : ' '}${comment}`;
}

/** The same of a query in any form: it inherits and doesn't copy, because a text may be a getter. */
export function commented(config: QueryText, comment: string): QueryText {
  if (comment === '') return config;
  if (typeof config === 'string') return withComment(config, comment);
  if (typeof config.text !== 'string') return config;
  const text = { value: withComment(config.text, comment), enumerable: true, configurable: true, writable: true };
  return Object.create(config, { text }) as QueryText;
}
