/**
 * docs/orms.md shows the files that are tested here. `npm run test:orms` runs those of `tools/orms`: they are `tsx` there,
 * because what they import isn't installed here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

const shown = Array.from(
  read('docs/orms.md').matchAll(/^<!-- from: (\S+) -->\n\n```(?:ts|tsx)\n([\s\S]*?)^```$/gm),
  ([, file, code]) => ({ file: file as string, code: code as string }),
);

describe('docs/orms.md', () => {
  it.each(shown)('shows $file as it is', ({ file, code }) => {
    expect(code).toBe(`// src/${basename(file)}\n${read(file)}`);
  });

  it('shows every library, and no code that is nowhere run', () => {
    const modules = ['test/orms', 'tools/orms'].flatMap((folder) =>
      readdirSync(join(ROOT, folder))
        .filter((name) => /\.(?:module|service)\.ts$/.test(name))
        .map((name) => `${folder}/${name}`),
    );
    expect(shown.map(({ file }) => file).toSorted()).toEqual(modules.toSorted());
    expect(read('docs/orms.md').match(/^```\w/gm)).toHaveLength(shown.length);
  });
});
