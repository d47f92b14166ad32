/** The diffs in docs/migrate are those of the applications that applications.spec.ts runs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const GUIDES = ['axios', 'nestjs-kysely', 'pg-pool', 'typeorm'];

/** The lines that a diff has on one of its sides. An empty line has lost its blank to the formatter. */
function side(diff: string, marks: string): string {
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .filter((line) => marks.includes(line[0] ?? ' '))
    .map((line) => `${line.slice(1)}\n`)
    .join('');
}

it.each(GUIDES)('docs/migrate/%s.md shows every file that differs, as it is before and after', (name) => {
  const folder = (when: string): string => join(import.meta.dirname, name, when);
  const text = (when: string, file: string): string => {
    const path = join(folder(when), file);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const files = new Set(['before', 'after'].flatMap((when) => readdirSync(folder(when))));
  const different = [...files].filter((file) => text('before', file) !== text('after', file));
  const shown = new Map(
    Array.from(
      readFileSync(join(ROOT, `docs/migrate/${name}.md`), 'utf8').matchAll(
        /^<!-- diff: [\w-]+\/(\S+) -->\n\n```diff\n([\s\S]*?)^```$/gm,
      ),
      ([, file, diff]) => [file as string, diff as string] as const,
    ),
  );
  expect([...shown.keys()].toSorted()).toEqual(different.toSorted());
  for (const [file, diff] of shown) {
    expect(side(diff, ' -'), file).toBe(text('before', file));
    expect(side(diff, ' +'), file).toBe(text('after', file));
  }
});

it('there is a guide for every application', () => {
  const guides = readdirSync(join(ROOT, 'docs/migrate')).map((file) => file.replace('.md', ''));
  expect(guides.toSorted()).toEqual(GUIDES);
});
