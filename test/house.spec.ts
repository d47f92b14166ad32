import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import ts from 'typescript';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = join(ROOT, 'libs/pooling/src');

const MOST_LINES = 350;
const MOST_METHODS = 25;

const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(?:[cm]?ts|js)$/.test(file) && !/\.(?:spec|d)\.ts$/.test(file))
  .map((file) => ({ file, text: readFileSync(join(SOURCES, file), 'utf8') }));

/** The classes of a file, with how many methods each has: private ones included, overloads once; accessors read as properties. */
function classesOf(text: string): { readonly name: string; readonly methods: number }[] {
  const classes: { name: string; methods: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassLike(node)) {
      const methods = node.members.filter((member) => ts.isMethodDeclaration(member) && member.body !== undefined);
      classes.push({ name: node.name?.text ?? 'a class without a name', methods: methods.length });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('source.ts', text, ts.ScriptTarget.Latest));
  return classes;
}

describe('the sources of the library', () => {
  it(`have no file of more than ${MOST_LINES} lines`, () => {
    const lines = files.map(({ file, text }) => ({ file, lines: text.split('\n').length - 1 }));
    expect(lines.length).toBeGreaterThan(300);
    expect(lines.filter((each) => each.lines > MOST_LINES)).toEqual([]);
  });

  it(`have no class of more than ${MOST_METHODS} methods`, () => {
    const classes = files.flatMap(({ file, text }) => classesOf(text).map((each) => ({ file, ...each })));
    expect(classes.length).toBeGreaterThan(100);
    expect(classes.filter(({ methods }) => methods > MOST_METHODS)).toEqual([]);
  });

  it('have nothing that a bundler or a test runner can’t read as CommonJS: import.meta, createRequire', () => {
    const forbidden = (text: string): string[] => {
      const found: string[] = [];
      const visit = (node: ts.Node): void => {
        if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword) found.push('import.meta');
        if (ts.isIdentifier(node) && node.text === 'createRequire') found.push('createRequire');
        ts.forEachChild(node, visit);
      };
      visit(ts.createSourceFile('source.ts', text, ts.ScriptTarget.Latest));
      return found;
    };
    expect(forbidden(`/* import.meta */ const a = createRequire(import.meta.url);`)).toEqual([
      'createRequire',
      'import.meta',
    ]);
    // The console's page is read by browsers.
    const read = files.filter(({ file }) => !file.startsWith(join('console', 'page')));
    expect(read.length).toBeGreaterThan(300);
    expect(
      read
        .filter(({ text }) => /import\.meta|createRequire/.test(text) && forbidden(text).length > 0)
        .map(({ file }) => file),
    ).toEqual([]);
  });

  it('count every method of a class once', () => {
    const text =
      'class A { a(): void; a(b?: 1): void {} get c() { return 1; } #d() {} static e() {} f = 1; constructor() {} }';
    expect(classesOf(`${text} const b = class { g() {} };`)).toEqual([
      { name: 'A', methods: 3 },
      { name: 'a class without a name', methods: 1 },
    ]);
  });
});

/** A room's own tests, of what several of its files do together. Every other spec bears the name of what it tests. */
const OF_ROOMS: Readonly<Record<string, readonly string[]>> = {
  database: [
    'pg-pool-compatibility',
    'pipelining',
    'prepared-statements',
    'query-timeout',
    'returned-connections',
    'secured-connections',
    'streams',
    'type-parsers',
  ],
  'database/connection': ['lesser-servers'],
  http: [
    'answers',
    'deadlines',
    'dispatcher-contract',
    'handlers',
    'http2',
    'life',
    'limits',
    'outside-numbers',
    'replay',
    'requests',
    'streams',
    'tls',
  ],
  'http/pool': ['named-origins'],
};

/** The specs of a folder of the repository, without their ending. */
function specsIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.spec.ts') && !file.includes('node_modules'))
    .map((file) => file.slice(0, -'.spec.ts'.length));
}

describe('the tests', () => {
  it.each(['libs/pooling/src', 'apps'])(
    'below %s stand beside what they test, and bear its name or that of a room’s work',
    (folder) => {
      const specs = specsIn(folder);
      expect(specs.length).toBeGreaterThan(2);
      const strangers = specs.filter((spec) => {
        const beside = readdirSync(join(ROOT, folder, dirname(spec)));
        const named = ['.ts', '.cts', ''].some((ending) => beside.includes(`${basename(spec)}${ending}`));
        return !named && OF_ROOMS[dirname(spec)]?.includes(basename(spec)) !== true;
      });
      expect(strangers).toEqual([]);
    },
  );

  it('of rooms are all there', () => {
    const specs = specsIn('libs/pooling/src');
    const named = Object.entries(OF_ROOMS).flatMap(([room, names]) => names.map((name) => join(room, name)));
    expect(named.filter((name) => !specs.includes(name))).toEqual([]);
  });

  it('of one file stand beside it, and not in `test`; the engine is tested as a whole', () => {
    const misplaced = specsIn('test').filter((spec) => {
      if (spec.startsWith('engine/')) return false;
      const text = readFileSync(join(ROOT, 'test', `${spec}.spec.ts`), 'utf8');
      return new RegExp(`'#pooling/.*/${basename(spec)}\\.js'`).test(text);
    });
    expect(misplaced).toEqual([]);
  });

  it('that may be left out say in their names what they need', () => {
    const left: string[] = [];
    for (const folder of ['libs/pooling/src', 'apps', 'test']) {
      for (const spec of specsIn(folder)) {
        const text = readFileSync(join(ROOT, folder, `${spec}.spec.ts`), 'utf8');
        for (const [found] of text.matchAll(/\.(?:skipIf|runIf)\([\s\S]{0,160}/g)) {
          if (!found.includes('(needs ')) left.push(`${spec}: ${found}`);
        }
      }
    }
    expect(left).toEqual([]);
  });
});
