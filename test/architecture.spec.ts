import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = readdirSync(join(ROOT, 'libs/pooling/src'), { recursive: true, encoding: 'utf8' });
const text = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');

/** The files that a text names, as `pool.ts`, `core/pool.ts` or `database/core/pool.ts`. */
function filesIn(part: string): string[] {
  return [...part.matchAll(/`([\w./-]+\.(?:ts|js|css))`/g)].map(([, file]) => file as string);
}

describe('docs/architecture.md', () => {
  it('names only files that there are', () => {
    const missing = filesIn(text).filter((file) => !SOURCES.some((source) => `/${source}`.endsWith(`/${file}`)));
    expect(filesIn(text).length).toBeGreaterThan(50);
    expect(missing).toEqual([]);
  });

  it('says which file to open by a path that leads to one file', () => {
    const rows = (text.split('## Which file to open')[1] ?? '').split('\n## ')[0] ?? '';
    const files = filesIn(rows);
    expect(files.length).toBeGreaterThanOrEqual(10);
    expect(files.filter((file) => !SOURCES.includes(file))).toEqual([]);
  });
});

describe('CONTRIBUTING.md', () => {
  it('says where to start, and at which tests, by files and folders that there are', () => {
    const contributing = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');
    const rows = /\| To change[^]*?\n\n/.exec(contributing)?.[0] ?? '';
    const places = [...rows.matchAll(/`((?:test|[a-z]+)\/[\w./-]*)`/g)].map(([, place]) => place as string);
    const missing = places.filter(
      (place) => !existsSync(join(ROOT, place.startsWith('test/') ? '' : 'libs/pooling/src', place)),
    );
    expect(places.length).toBeGreaterThan(30);
    expect(missing).toEqual([]);
  });
});
