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
    const [, script] = /^npm (?:run )?(?!ci\b|install\b)(\S+)/.exec(command) ?? [];
    if (script !== undefined) expect(Object.keys(scripts!)).toContain(script);
    else expect(command === 'npm ci' || existsSync(join(ROOT, command))).toBe(true);
  });

  it.each(commands.filter(({ command }) => /^promtool\b/.test(command)))('has its file: $command', ({ command }) => {
    expect(existsSync(join(ROOT, command.split(' ').at(-1)!))).toBe(true);
  });
});

describe('the install line of the README', () => {
  const installed = commands
    .filter(({ document, command }) => document === 'README.md' && command.startsWith('npm install'))
    .flatMap(({ command }) => command.split(' ').slice(2))
    .filter((word) => !word.startsWith('-'))
    .map((word) => /^(.+?)(?:@([\d.]+))?$/.exec(word)!.slice(1) as [string, string | undefined]);

  it('names what the default options need, in versions that nest add chooses for the oldest Node', () => {
    const parts = { database: true, http: true, health: true, metrics: true };
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
