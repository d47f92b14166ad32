/** How much of a text from elsewhere is shown, in characters. */
export const SHOWN_TEXT_LENGTH = 1_000;

/**
 * What a terminal, a log or a page would act on instead of showing it: control characters (line breaks, which forge
 * log lines, and escape sequences among them), marks that turn the direction of a line, halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  const escaped =
    code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  return SHORT_ESCAPES[character] ?? escaped;
}

/**
 * A text that came from elsewhere (a server, a peer, a user) as logs, messages and pages may show it: one line, without
 * control characters, and at most `longest` characters of it. What is cut is counted.
 *
 * @example
 * ```ts
 * showText('could not\nconnect'); // 'could not\\nconnect'
 * ```
 */
export function showText(text: string, longest = SHOWN_TEXT_LENGTH): string {
  if (text.length <= longest) return text.replace(UNSAFE, escapeCharacter);
  const splitsPair = /[\ud800-\udbff]/.test(text.charAt(longest - 1));
  const start = text.slice(0, splitsPair ? longest - 1 : longest);
  return `${start.replace(UNSAFE, escapeCharacter)}… (${text.length} characters)`;
}
