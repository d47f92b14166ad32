import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { blocksOf, CompiledBlocks, listBlocks, ROOT } from './blocks.js';
import { listDocuments } from './documents.js';

const blocks = listBlocks();

describe('code that is shown', { timeout: 180_000 }, () => {
  let compiled: CompiledBlocks;

  beforeAll(() => {
    compiled = new CompiledBlocks();
  }, 180_000);

  it.each(blocks.map(({ place, line }, index) => ({ place, line, index })))(
    'in $place, line $line, compiles',
    ({ index }) => {
      expect(compiled.errorsOf(compiled.blocks[index]!)).toEqual([]);
    },
  );

  it.each(
    listDocuments()
      .flatMap(blocksOf)
      .flatMap(({ place, from, code }) => (from === undefined ? [] : [{ place, from, code }])),
  )('in $place is the file $from', ({ from, code }) => {
    // The name that the file has in an application isn't in the file.
    expect(`${code.replace(/^\/\/ src\/\S+\n/, '')}\n`).toBe(readFileSync(join(ROOT, from), 'utf8'));
  });

  it('stands in every document that programmers read, and in the doc comments', () => {
    const places = new Set(blocks.map(({ place }) => place));
    expect(places).toContain('README.md');
    expect(places).toContain('docs/reference/options.md');
    expect(places).toContain('libs/pooling/src/database/database-pool.ts');
  });

  it('is there for everything that is exported to be called, made, configured or heard', () => {
    expect(compiled.exportsWithoutExample()).toEqual([]);
  });

  it('has words beside it: every export, every member of a class and every setting says what it gives', () => {
    expect(compiled.exportsWithoutSummary()).toEqual([]);
  });

  it('may give every setting as undefined, in the strictest project too', () => {
    expect(compiled.settingsWithoutUndefined()).toEqual([]);
  });

  it('is wrong in none of the tests of types', () => {
    const errors = compiled.typeTests.flatMap((file) =>
      compiled.errorsInFile(file).map((error) => `${relative(ROOT, file)}: ${error}`),
    );
    expect(compiled.typeTests.length).toBeGreaterThan(0);
    expect(errors).toEqual([]);
  });
});
