import { readFile } from 'node:fs/promises';

const DOCUMENT = new URL('../../docs/parity.md', import.meta.url);

/** The last cell of each row that names a test: `[…](file) › title`. */
async function namedTests(): Promise<{ file: string; title: string }[]> {
  const text = await readFile(DOCUMENT, 'utf8');
  return [...text.matchAll(/\[[^\]]+\]\(([^)]+\.spec\.ts)\) › (.+?) *\|$/gm)].map(([, file, title]) => ({
    file: file as string,
    title: title as string,
  }));
}

it('every test that docs/parity.md names exists', async () => {
  const named = await namedTests();
  expect(named.length).toBeGreaterThan(60);
  const missing: string[] = [];
  for (const { file, title } of named) {
    const source = await readFile(new URL(file, DOCUMENT), 'utf8').catch(() => '');
    // Right behind the quotation mark: a title that only ends like this is another test's.
    if (!["'", '"', '`'].some((quote) => source.includes(quote + title))) missing.push(`${file} › ${title}`);
  }
  expect(missing).toEqual([]);
});

it('every test of test/parity is named in docs/parity.md', async () => {
  const named = new Set((await namedTests()).map(({ title }) => title));
  const unnamed: string[] = [];
  for (const origin of ['queue-pool', 'hikari', 'pgxpool', 'asyncpg']) {
    const source = await readFile(new URL(`./${origin}.spec.ts`, import.meta.url), 'utf8');
    for (const [, title] of source.matchAll(/^ *test(?:\.each\([^;]+?\))?\(\s*'((?:[^'\\]|\\.)+)'/gm)) {
      if (!named.has(title as string)) unnamed.push(`${origin} › ${title}`);
    }
  }
  expect(unnamed).toEqual([]);
});
