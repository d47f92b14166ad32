import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packagesFor } from '#pooling/schematics/packages/needed-packages.js';
import { blocksOf, ROOT } from './blocks.js';
import { listDocuments } from './documents.js';

const readJson = (file: string): Record<string, Record<string, string>> =>
  JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Record<string, Record<string, string>>;
const { scripts } = readJson('package.json');
const { peerDependencies } = readJson('libs/pooling/package.json');

const contributing = { name: 'CONTRIBUTING.md', text: readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8') };
const commands = [...listDocuments(), contributing].flatMap((document) =>
  blocksOf(document)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ code }) => code.split('\n'))
    .map((line) => line.replace(/(?:^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((command) => ({ document: document.name, command })),
);

describe('a command that is shown', () => {
  const ofRepository = commands.filter(({ document }) => /CONTRIBUTING|benchmarks/.test(document));

  it.each(ofRepository)('is there: $command', ({ command }) => {
    const bare = command.replace(/^(?:[A-Z_]+=\S+ )+/, '');
    const [, script] = /^npm (?:run )?(?!ci\b|install\b)(\S+)/.exec(bare) ?? [];
    const [, ran] = /^npx vitest run (\S+)/.exec(bare) ?? [];
    if (ran !== undefined) expect(existsSync(join(ROOT, ran)), ran).toBe(true);
    else if (script !== undefined) expect(Object.keys(scripts!)).toContain(script);
    else expect(bare === 'npm ci' || existsSync(join(ROOT, bare))).toBe(true);
  });

  it.each(commands.filter(({ command }) => /^promtool\b/.test(command)))('has its file: $command', ({ command }) => {
    expect(existsSync(join(ROOT, command.split(' ').at(-1)!))).toBe(true);
  });
});

/** The packages of the `npm install` lines of a block, each with its version where the line has one. */
function installedBy(code: string): [name: string, version: string | undefined][] {
  return code
    .split('\n')
    .filter((line) => line.startsWith('npm install'))
    .flatMap((line) => line.split(' ').slice(2))
    .filter((word) => !word.startsWith('-'))
    .map((word) => /^(.+?)(?:@([\d.]+))?$/.exec(word)!.slice(1) as [string, string | undefined]);
}

const all = { database: true, http: true, health: true, metrics: true };
const pages = Object.fromEntries(listDocuments().map((document) => [document.name, document]));
const installBlocks = (name: string): string[] =>
  blocksOf(pages[name]!)
    .filter(({ language, code }) => language === 'sh' && /^npm install/m.test(code))
    .map(({ code }) => code);
const [forAll, forHttp, ...others] = installBlocks('README.md');

describe.each([
  ['of the README, for the default options', forAll!, all],
  ['of the README, for HTTP clients alone', forHttp!, { ...all, database: false }],
  ['of the page about installation', installBlocks('docs/getting-started.md')[0]!, all],
])('the install line %s', (_of, code, parts) => {
  const installed = installedBy(code);

  it('names what is needed, in versions that nest add chooses for the oldest Node', () => {
    const needed = packagesFor(parts, { node: '20.19.0', engines: undefined, nest: 12, isEsm: true });
    expect(installed.map(([name]) => name).toSorted()).toEqual(
      ['nestjs-pooling', ...needed.map(({ name }) => name)].toSorted(),
    );
    for (const [name, version] of installed) {
      if (version === undefined) continue;
      expect(needed.find((each) => each.name === name)?.range, name).toMatch(new RegExp(`^\\^${version}\\.`));
    }
  });

  it.each(installed.filter(([, version]) => version !== undefined))(
    'asks for a version of %s that its peer range has: %s',
    (name, version) => {
      const ranges = peerDependencies![name]!.split(' || ');
      expect(ranges.some((range) => range.startsWith(`^${version}.`))).toBe(true);
    },
  );
});

it('the README has no other install line', () => {
  expect(others).toEqual([]);
});
