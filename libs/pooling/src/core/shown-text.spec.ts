import { showText } from './shown-text.js';

describe('showText', () => {
  it('leaves a plain text as it is, in any language', () => {
    expect(showText('Datenbank »shop« existiert nicht 🐘')).toBe('Datenbank »shop« existiert nicht 🐘');
  });

  it('escapes what would forge a line, move the cursor or turn the direction of the text', () => {
    expect(showText('a\r\nb\tc')).toBe('a\\r\\nb\\tc');
    expect(showText('\u001b[2Jgone\u0000\u007f\u009b')).toBe('\\x1b[2Jgone\\x00\\x7f\\x9b');
    expect(showText('a\u2028b\u202ec\u2066d\ufeff')).toBe('a\\u2028b\\u202ec\\u2066d\\ufeff');
    expect(showText('\ud83d \udc18')).toBe('\\ud83d \\udc18');
  });

  it('cuts what is too long, never within a character, and says how long it was', () => {
    expect(showText('abcdef', 3)).toBe('abc… (6 characters)');
    expect(showText('\n'.repeat(4), 2)).toBe('\\n\\n… (4 characters)');
    expect(showText('🐘🐘', 3)).toBe('🐘… (4 characters)');
    expect(showText('x'.repeat(16_000_000)).length).toBeLessThan(1_100);
  });
});
