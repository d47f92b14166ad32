import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
/** What other programs write, and what only includes another document. */
const NOT_WRITTEN_HERE = /^docs\/(?:api|benchmarks)\/|^docs\/(?:index|changelog)\.md$/;

export interface Document {
  /** Its path in the repository. */
  readonly name: string;
  readonly text: string;
}

/** The README and the pages of `docs/`. */
export function listDocuments(): Document[] {
  const pages = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((page) => page.endsWith('.md'))
    .map((page) => `docs/${page}`)
    .filter((page) => !NOT_WRITTEN_HERE.test(page));
  return ['README.md', ...pages.toSorted()].map((name) => ({ name, text: readFileSync(join(ROOT, name), 'utf8') }));
}
