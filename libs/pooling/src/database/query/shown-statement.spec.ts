import { shortenStatement } from './shown-statement.js';

describe('a statement as people see it', () => {
  it('is one line without control characters', () => {
    expect(shortenStatement(" select\n\t1,\r\n '\u001b[2J\u0000\u202e' ")).toBe("select 1, '\\x1b[2J\\x00\\u202e'");
  });

  it('is cut, and not in the middle of a character', () => {
    expect(shortenStatement('x'.repeat(200))).toBe('x'.repeat(200));
    expect(shortenStatement('x'.repeat(201))).toBe(`${'x'.repeat(199)}…`);
    expect(shortenStatement(`${'x'.repeat(198)}😀😀`)).toBe(`${'x'.repeat(198)}…`);
  });
});
